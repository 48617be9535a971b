from pdm_cli.pipeline.api import detect_anomalies as detect_anomalies
from pdm_cli.pipeline.api import evaluate as evaluate
from pdm_cli.pipeline.api import explain as explain
from pdm_cli.pipeline.api import health as health
from pdm_cli.pipeline.api import predict as predict
from pdm_cli.pipeline.api import preprocess as preprocess
from pdm_cli.pipeline.api import run as run
from pdm_cli.pipeline.api import simulate as simulate
from pdm_cli.pipeline.api import train as train

__version__: str
