"""Texts that harm a careless page, each with what a careful one shows."""

from collections.abc import Mapping

TEXTS: Mapping[str, str] = {
    one: one
    for one in (
        "<script>alert(1)</script>",
        '"><svg onload=alert(1)>',
        "</script><img src=//evil.example/x onerror=alert(1)>",
        "</title></pre></dialog><iframe src=//evil.example></iframe>",
        "{{7*7}}{% for x in () %}${7*7}<%= 7*7 %>",
        "<a href=javascript:alert(1)>javascript:alert(1)</a>",
        "' onfocus=alert(1) autofocus x='",
        "<!-- &lt;b&gt; ]]> <base href=//evil.example>",
        "%0d%0aSet-Cookie:x=1",
    )
} | {
    "\u202etxt.exe\u202c\u200b\u2066": r"\u202etxt.exe\u202c\u200b\u2066",
    "a\u0301\ufe0f\u3164\U000e0041": "a\u0301" + r"\ufe0f\u3164\U000e0041",
}
"""What may be in topics, names and properties."""

BYTES: Mapping[bytes, str] = {
    b"a\0b": r"a\x00b",
    b"\x1b[31mred\x1b]0;title\x07": r"\x1b[31mred\x1b]0;title\x07",
    b"a\rb\x08\x7f\xc2\x85": r"a\rb\x08\x7f\x85",
    b"\xff\xfe<script>": "ff fe 3c 73 63 72 69 70",
}
"""What payloads may be in addition."""

NEVER = "script, iframe, img, object, embed, base, link, style, form[action^='//'], [onload], [onerror], [onfocus], [href^='javascript']"
"""What no text may become."""

HOST_OF_TEST = '''
"""The machine has the name that a test gives it."""

import os
import socket

if name := os.environ.get("TEST_HOST"):
    socket.gethostname = lambda: name
'''
