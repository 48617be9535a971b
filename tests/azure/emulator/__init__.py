"""A loopback emulator of Azure Machine Learning for the unmodified Azure SDK.

Processes use it through their environment alone (fixture ``azure_env``): a proxy that terminates TLS with its own
certificate authority, and a service principal. The control plane is in memory, blobs are in a real Azurite, and
submitted commands really run. It follows the service's wire format, not the client's source.
"""

from tests.azure.emulator.service import CLUSTER, ROOT, Emulator

__all__ = ["CLUSTER", "ROOT", "Emulator"]
