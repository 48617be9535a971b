"""A loopback emulator of Azure Machine Learning, for the unmodified Azure SDK.

A process takes it for Azure by its environment alone (fixture ``azure_env``): a proxy that ends TLS with a certificate
authority of our own, and a service principal. The control plane lives in memory, blobs live in a real Azurite, and the
commands of submitted jobs really run. It follows what the service sends, not what the client would like to read.
"""
