from __future__ import annotations

import pytest

from pdm_cli.azure.blobs import Address, log_name, parse_address
from pdm_cli.azure.client import first_line
from pdm_cli.errors import DataError

LONG = "azureml://subscriptions/1-2/{groups}/plant/{provider}workspaces/pumps/datastores/store/paths/pdm/job/out"


@pytest.mark.parametrize(
    "text",
    [
        "azureml://datastores/store/paths/pdm/job/out",
        "azureml://datastores/store/paths/pdm/job/out/",
        LONG.format(groups="resourcegroups", provider=""),
        LONG.format(groups="resourceGroups", provider=""),
        LONG.format(groups="resourceGroups", provider="providers/Microsoft.MachineLearningServices/"),
    ],
)
def test_parse_address_every_form_is_equal(text: str) -> None:
    assert parse_address(text) == Address("store", "pdm/job/out")
    assert parse_address(text).prefix == "pdm/job/out/"


def test_parse_address_root_has_no_prefix() -> None:
    assert parse_address("azureml://datastores/store/paths/").prefix == ""


@pytest.mark.parametrize("text", ["", "azureml:data:1", "azureml://jobs/x/outputs/out", "https://store/pdm", "/pdm"])
def test_parse_address_invalid_is_rejected(text: str) -> None:
    with pytest.raises(DataError, match="not the address"):
        parse_address(text)


def test_log_name_of_a_run() -> None:
    assert log_name("step-1") == "ExperimentRun/dcid.step-1/user_logs/std_log.txt"


def test_first_line_signature_is_removed() -> None:
    error = OSError("HTTPSConnectionPool(port=443): Max retries exceeded with url: /c?sv=1&sig=SeCrEt%3D (Caused by X)")
    assert first_line(error) == "HTTPSConnectionPool(port=443): Max retries exceeded (Caused by X)"
