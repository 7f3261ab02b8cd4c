"""What is secret in a plan, and texts with every secret replaced.

The one list of what counts as a secret is here; everything that is shown or kept of a plan goes through these functions.
They rather hide too much than too little. What no name gives away, such as a token within a path, they can't know.
"""

from __future__ import annotations

import re

HIDDEN = "(hidden)"
_MAX_WORD_LENGTH = 20
_MAX_NESTING = 4  # of URLs in parameters of URLs, and of their encodings
_JSON_SIGNS = ("{", "[", '"')

# Anywhere in a name; an author is no secret.
_PARTS = re.compile(
    r"auth(?!or(?!i[sz]))|token|secret|cookie|passw|passphrase|passcode|jwt|session|sessid|signature|credential|bearer|csrf|xsrf"
    r"|assertion",
    re.IGNORECASE,
)
# One word of a name such as X-Pin, apiKey, user_pass or connect.sid.
_WORDS = frozenset({"hmac", "jws", "jwe", "otp", "totp", "pin", "pins", "psk", "pw", "saml", "sid", "sig"})
_ENDINGS = ("key", "keys", "pass", "pwd")
_WORD = re.compile(r"[A-Z]+(?![a-z])|[A-Z]?[a-z]+")
# Values that are secret under any name: credentials with their scheme (RFC 9110, section 11.4), and JSON Web Tokens.
_CREDENTIALS = re.compile(r"(?:basic|bearer|digest|negotiate|ntlm|token|apikey|aws4-\S+)\s+\S", re.IGNORECASE)
_JWT = re.compile(r"(?<![\w-])eyJ[\w-]{4,}\.[\w-]+\.[\w-]*")
_USERINFO = re.compile(r"(?<=//)[^/?#\s@]*(?:@[^/?#\s@]*)*@")
_PARAMETER = re.compile(r"(?:^|(?<=[?&;#/,=\s]))([^=&;?#/,\s]+)=")
_VALUE = re.compile(r'"[^"]*"|[^&#\s]*')


def is_secret(name: str) -> bool:
    """Return whether a header, parameter, field or column of this name holds a secret."""
    if "%" in name:
        from urllib.parse import unquote

        name = unquote(name)
    words = [word.lower() for word in _WORD.findall(name)]
    return bool(_PARTS.search(name)) or any(word in _WORDS or word.endswith(_ENDINGS) for word in words)


def mask_text(text: str) -> str:
    """Return a text without the userinfo and the secret parameters of the URLs in it.

    The text may come from a target or another host: the time that this takes grows with its length and no faster.
    """
    return _mask(text, _MAX_NESTING)


def mask_url(url: str) -> str:
    """Return a URL for an error text: it may have no scheme, and a slash in its password."""
    scheme, slashes, rest = url.partition("//")
    if not slashes:
        scheme, rest = "", url
    authority = re.split(r"[/?#]", rest, maxsplit=1)[0]
    port = re.sub(r"\[[^\[\]]*\]", "", authority).partition(":")[2]
    if "@" in authority:
        rest = f"...@{authority.rpartition('@')[2]}{rest[len(authority) :]}"
    elif "@" in rest and (not slashes or (port and not port.isdigit())):
        rest = f"...@{rest.rpartition('@')[2]}"
    return mask_text(f"{scheme}{slashes}{rest}")


def mask_header(name: str, value: str) -> str:
    """Return the value of a header, or a sign that it is hidden."""
    return HIDDEN if value and (is_secret(name) or _CREDENTIALS.match(value)) else mask_text(value)


def mask_line(line: str) -> str:
    """Return a malformed line for an error text: only its first word if it may be a header with a secret.

    A long word that stands alone may be a secret whose name was forgotten.
    """
    word, *rest = re.split(r"[\s=:]", line, maxsplit=1)
    if not is_secret(line) and not _CREDENTIALS.match(line) and (rest or len(word) <= _MAX_WORD_LENGTH):
        return mask_text(line)
    return f"{word} ..." if rest else "..."


def _mask(text: str, depth: int) -> str:
    return _mask_parameters(_JWT.sub(HIDDEN, _USERINFO.sub("...@", text)), depth)


def _mask_parameters(text: str, depth: int) -> str:
    """Return a text without the values of secret parameters; a value ends at the next & or blank."""
    shown: list[str] = []
    at = checked = 0  # up to `checked`, values are known to have no URL with a secret
    while match := _PARAMETER.search(text, at):
        shown.append(text[at : match.end()])
        at = match.end()  # the value itself may have parameters, behind another sign
        is_hidden = is_secret(match[1])
        if not is_hidden and at < checked:
            continue
        found = _VALUE.match(text, at)
        value = found[0] if found else ""
        masked = (HIDDEN if value else "") if is_hidden else _mask_nested(value, depth)
        checked = at + len(value)
        if is_hidden or masked != value:
            shown.append(masked)
            at = checked
    return "".join([*shown, text[at:]])


def _mask_nested(value: str, depth: int) -> str:
    """Return a percent-encoded value that may be a URL of its own, encoded again, or credentials.

    One that is nested too deeply is hidden.
    """
    text = value.replace("+", " ")
    if _CREDENTIALS.match(text) or (text[:1] in _JSON_SIGNS and is_secret(text)):
        return HIDDEN
    if "%" not in value:
        return value
    from urllib.parse import quote, unquote

    plain = unquote(value)
    if plain == value:
        return value
    if not depth:
        return HIDDEN
    masked = _mask_nested(plain, depth - 1)
    if masked == plain:
        masked = _mask(plain, depth - 1)
    return value if masked == plain else quote(masked, safe="()")
