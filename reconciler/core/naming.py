"""Kubernetes' rules for names and labels, each returning what is wrong with a text, or nothing.

Source: "Object Names and IDs" and "Labels and Selectors" in Kubernetes' documentation, and
apimachinery's `util/validation`.
"""

from __future__ import annotations

import re

LABEL_LENGTH = 63
SUBDOMAIN_LENGTH = 253

_LABEL_1123 = re.compile(r"[a-z0-9]([-a-z0-9]*[a-z0-9])?")
_LABEL_1035 = re.compile(r"[a-z]([-a-z0-9]*[a-z0-9])?")
_SUBDOMAIN = re.compile(rf"{_LABEL_1123.pattern}(\.{_LABEL_1123.pattern})*")
_QUALIFIED = re.compile(r"[A-Za-z0-9]([-A-Za-z0-9_.]*[A-Za-z0-9])?")
_PORT_NAME = re.compile(r"(?=.*[a-z])(?!.*--)[a-z0-9]([-a-z0-9]*[a-z0-9])?")


def wrong_dns_label(text: str) -> str:
    """Why `text` is not a DNS-1123 label (namespaces, most names); '' if it is one."""
    if len(text) > LABEL_LENGTH:
        return f"has {len(text)} characters, more than {LABEL_LENGTH}"
    if not _LABEL_1123.fullmatch(text):
        return "may only hold a-z, 0-9 and `-`, and must begin and end with a letter or digit"
    return ""


def wrong_service_name(text: str) -> str:
    """Why `text` is not a DNS-1035 label, the stricter rule for Services; '' if it is one."""
    if not wrong_dns_label(text) and not _LABEL_1035.fullmatch(text):
        return "must begin with a letter, as a Service's name"
    return wrong_dns_label(text)


def wrong_subdomain(text: str) -> str:
    """Why `text` is not a DNS-1123 subdomain (ConfigMaps, Secrets, Deployments); '' if it is one."""
    if len(text) > SUBDOMAIN_LENGTH:
        return f"has {len(text)} characters, more than {SUBDOMAIN_LENGTH}"
    if not _SUBDOMAIN.fullmatch(text):
        return "may only hold a-z, 0-9, `-` and `.`, and must begin and end with a letter or digit"
    return ""


def wrong_label_value(text: str) -> str:
    """Why `text` cannot be a label's value; '' if it can (an empty one can)."""
    if len(text) > LABEL_LENGTH:
        return f"has {len(text)} characters, more than the {LABEL_LENGTH} of a label's value"
    if text and (bad := sorted(set(re.sub(r"[-A-Za-z0-9_.]", "", text)))):
        return f"holds {_shown(bad)}, but a label's value may only hold letters, digits, `-`, `_` and `.`"
    if text and not _QUALIFIED.fullmatch(text):
        return "must begin and end with a letter or digit, as a label's value"
    return ""


def wrong_label_key(text: str) -> str:
    """Why `text` cannot be the key of a label or annotation; '' if it can."""
    prefix, slash, name = text.rpartition("/")
    if slash and (wrong := wrong_subdomain(prefix)):
        return f"its prefix {wrong}"
    if len(name) > LABEL_LENGTH or not _QUALIFIED.fullmatch(name):
        return "may hold up to 63 letters, digits, `-`, `_` and `.`, a letter or digit first and last"
    return ""


def wrong_port_name(text: str) -> str:
    """Why `text` cannot name a container's port (RFC 6335); '' if it can."""
    if len(text) > 15:
        return f"has {len(text)} characters, more than the 15 of a port's name"
    if not _PORT_NAME.fullmatch(text):
        return "may only hold a-z, 0-9 and single `-`, at least one letter, as a port's name"
    return ""


def _shown(characters: list[str]) -> str:
    return " ".join("a blank" if each.isspace() else f"`{each}`" for each in characters[:5])
