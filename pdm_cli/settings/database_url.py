"""URLs of databases, which must not contain a password: settings are printed and kept in files."""

from __future__ import annotations

import re
from urllib.parse import parse_qsl

PASSWORD_VARIABLE = "PDM_CLI_SQL_PASSWORD"
HAS_PASSWORD = "the URL contains a password"
HOW_TO_GIVE_PASSWORDS = f"remove it, and set the environment variable {PASSWORD_VARIABLE}, or keep it in a keyring"
# A password in front of the host, where SQLAlchemy looks for it.
_USER_INFO = re.compile(r"[^:/]*:[^@]*@")
# Parameters of URLs that are, or contain, a password.
_SECRET_KEY = re.compile(r"passw|passphrase|pwd|secret|token", re.IGNORECASE)
_SECRET_VALUE = re.compile(r"\b(?:password|pwd)\s*=", re.IGNORECASE)


def has_password(url: str) -> bool:
    """Return whether the URL of a database, or a string that is meant as one, contains a password."""
    _, mark, rest = url.partition("://")
    if not mark:
        # A mistyped URL: whatever it means, there may be a password between colon and @.
        return re.search(r":.*@", url, re.DOTALL) is not None or _SECRET_VALUE.search(url) is not None
    parameters = parse_qsl(rest.partition("?")[2])
    return _USER_INFO.match(rest) is not None or any(
        _SECRET_KEY.search(key) or _SECRET_VALUE.search(value) for key, value in parameters
    )
