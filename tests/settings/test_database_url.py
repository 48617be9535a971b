"""Passwords in the URLs of databases."""

from __future__ import annotations

import pytest
from sqlalchemy.engine import make_url

from pdm_cli.settings.database_url import has_password

SECRET = "s3cret"
WITH_PASSWORD = [
    f"postgresql://joe:{SECRET}@host/plant",
    f"postgresql+psycopg://joe:{SECRET}/of?it@host:5432/plant",
    f"mysql+pymysql://:{SECRET}@[::1]:3306/plant",
]


@pytest.mark.parametrize(
    "url",
    [
        *WITH_PASSWORD,
        f"postgresql://host/plant?user=joe&password={SECRET}",
        f"snowflake://host/plant?sslp%61ssword={SECRET}",
        f"mssql+pyodbc:///?odbc_connect=UID%3Djoe%3BPWD%3D{SECRET}",
        # Not a URL, but still someone's password.
        f"joe:{SECRET}@host",
        f"postgresql:/joe:{SECRET}@host/plant",
        f"Server=host;UID=joe;PWD={SECRET}",
    ],
)
def test_has_password_in_any_place_is_true(url: str) -> None:
    assert has_password(url)


@pytest.mark.parametrize("url", WITH_PASSWORD[:1] + WITH_PASSWORD[2:])
def test_has_password_finds_those_of_sqlalchemy(url: str) -> None:
    assert make_url(url).password == SECRET


@pytest.mark.parametrize(
    "url",
    [
        "",
        "sqlite://",
        "sqlite:///plant.db",
        "sqlite:////data/a:b@c.db",
        "postgresql://joe@host:5432/plant",
        "postgresql://joe@host:5432/plant?sslmode=require&application_name=pdm",
        "mssql+pyodbc://joe@host/plant?driver=ODBC+Driver+18+for+SQL+Server",
        "plant.db",
    ],
)
def test_has_password_without_one_is_false(url: str) -> None:
    assert not has_password(url)
