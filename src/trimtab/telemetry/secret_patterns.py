"""What a secret looks like in text: keys by their vendors' prefixes, and values beside a name that says what they are.

What it is not: the search through a log line (`redaction`) or a prompt (`trimtab.content`), or what names a person.
Invariant: every pattern is linear. Where one fails, it fails within a bounded number of characters, or at a mark from
which no second search starts.
"""

import base64
import binascii
import re
import string
from collections.abc import Callable, Iterator

import msgspec

Span = tuple[int, int]

LONG_WORD = 15
"""Keys of vendors are no shorter; hardly any prose is in such words, so that looking for 50 marks costs little."""


class SecretPattern(msgspec.Struct, frozen=True):
    """One way in which secrets are written."""

    marks: tuple[str, ...]
    """A text that holds none of them is not searched: looking for one costs a hundredth of the search."""
    pattern: re.Pattern[str]
    """A whole secret; of one with groups what they hold, and of one with a `value` what tells that a secret follows."""
    one_word: bool = False
    """Whether it stands, with its mark, in one run of characters without a blank, of `LONG_WORD` and more."""
    lowered: bool = False
    """Whether marks and pattern are for the text in lower case, which is searched faster than without regard to it."""
    value: re.Pattern[str] | None = None
    """What follows a match; its groups, as above. Apart, so that what is refused is not searched twice."""
    fits: Callable[[re.Match[str]], bool] | None = None
    """Whether a match is a secret, or is followed by one. Cost: bounded."""

    def spans(self, match: re.Match[str]) -> Iterator[Span]:
        """What is hidden because of a match."""
        if self.fits is not None and not self.fits(match):
            return
        if self.value is not None:
            found = self.value.match(match.string, match.end())
            if found is None:
                return
            match = found
        if not match.re.groups:
            yield match.span()
        for start, end in match.regs[1:]:
            if start < end:
                yield start, end

    def findings(self, text: str) -> Iterator[Span]:
        """What is hidden in a text, in order; of one with `lowered` in its lower case."""
        at = 0
        while (match := self.pattern.search(text, at)) is not None:
            at = match.end()
            for span in self.spans(match):
                yield span
                at = max(at, span[1])


def lower_case(text: str) -> str:
    """The text in lower case, each character in its place."""
    lowered = text.lower()
    return lowered if len(lowered) == len(text) else text.translate(_LOWER)


_LOWER = str.maketrans(string.ascii_uppercase, string.ascii_lowercase)

_WORD = r"[A-Za-z0-9_\-]"


def _prefixed(prefix: str, rest: str) -> SecretPattern:
    """A vendor's key, which begins where a word begins."""
    boundary = rf"(?<![A-Za-z0-9]{re.escape(prefix)})"
    return SecretPattern((prefix,), re.compile(re.escape(prefix) + boundary + rest), one_word=True)


_VENDORS: tuple[SecretPattern, ...] = (
    # Anthropic, and who took up its form or OpenAI's (`sk-proj-`, `sk-or-`); ours. Whole or cut short; `sk-` only
    # where a word begins ("task-list" is none).
    SecretPattern(("sk-",), re.compile(rf"sk-(?:ant-|(?<![A-Za-z0-9]sk-)){_WORD}{{6,}}")),
    _prefixed("tt-", rf"{_WORD}{{20,}}"),
    _prefixed("gh", r"[pousr]_[A-Za-z0-9]{20,}"),
    _prefixed("github_pat_", r"[A-Za-z0-9_]{20,}"),
    _prefixed("gl", rf"(?:pat|ptt|dt|rt|cbt|ft|soat)-{_WORD}{{16,}}"),
    _prefixed("xox", r"[a-z][\-.][A-Za-z0-9\-.]{10,}"),
    _prefixed("xapp-", r"[A-Za-z0-9\-]{10,}"),
    *(_prefixed(f"{kind}k_", r"(?:live|test)_[A-Za-z0-9]{16,}") for kind in "rsp"),
    _prefixed("whsec_", r"[A-Za-z0-9+/=]{16,}"),
    _prefixed("AIza", rf"{_WORD}{{35}}"),
    _prefixed("ya29.", rf"{_WORD}{{20,}}"),
    _prefixed("GOCSPX-", rf"{_WORD}{{20,}}"),
    _prefixed("npm_", r"[A-Za-z0-9]{36}"),
    _prefixed("pypi-", rf"{_WORD}{{20,}}"),
    _prefixed("hf_", r"[A-Za-z0-9]{20,}"),
    _prefixed("xai-", r"[A-Za-z0-9]{20,}"),
    _prefixed("gsk_", r"[A-Za-z0-9]{20,}"),
    _prefixed("nvapi-", rf"{_WORD}{{20,}}"),
    _prefixed("pplx-", r"[A-Za-z0-9]{20,}"),
    _prefixed("SG.", rf"{_WORD}{{16,32}}\.{_WORD}{{16,64}}"),
    _prefixed("dop_v1_", r"[a-f0-9]{32,}"),
    _prefixed("dckr_pat_", rf"{_WORD}{{20,}}"),
    _prefixed("shpat_", r"[a-fA-F0-9]{32}"),
    _prefixed("dapi", r"[a-f0-9]{32}"),
    _prefixed("hvs.", rf"{_WORD}{{20,}}"),
    _prefixed("glsa_", r"[A-Za-z0-9_]{20,}"),
    _prefixed("lin_api_", r"[A-Za-z0-9]{20,}"),
    _prefixed("ntn_", r"[A-Za-z0-9]{30,}"),
    _prefixed("figd_", rf"{_WORD}{{20,}}"),
    _prefixed("ATATT3", rf"{_WORD}{{30,}}=?"),
    _prefixed("AGE-SECRET-KEY-1", r"[A-Z0-9]{20,}"),
    _prefixed("eyJ", r"[A-Za-z0-9_\-.]{20,}"),
    SecretPattern(
        ("hooks.slack.com/", "/api/webhooks/"),
        re.compile(r"(?:hooks\.slack\.com/|/api/webhooks/[0-9]{5,30}/)([A-Za-z0-9_\-/]{20,})"),
        one_word=True,
    ),
    SecretPattern((":AA",), re.compile(rf"(?<![0-9])[0-9]{{8,10}}:AA{_WORD}{{33}}"), one_word=True),
)
"""Source: the vendors' documentation of their keys' prefixes (2026-11); JSON Web Tokens: RFC 7519."""


def _random_looking(match: re.Match[str]) -> bool:
    """Letters of both cases and digits: no digest in hexadecimals. Of random base64 1 in 500 is not like that."""
    found = match.group()
    return (
        any(char.isdigit() for char in found)
        and sum(char.isupper() for char in found) >= 4
        and sum(char.islower() for char in found) >= 4
    )


_AWS_IDS = ("AKIA", "ASIA", "ABIA", "ACCA")
_AWS: tuple[SecretPattern, ...] = (
    *(_prefixed(prefix, r"[A-Z0-9]{16}") for prefix in _AWS_IDS),
    # The secret beside an id has 40 characters and no mark of its own. Source: AWS IAM, access keys.
    SecretPattern(
        (*_AWS_IDS, "aws_", "AWS_"),
        re.compile(r"[A-Za-z0-9+/](?<![A-Za-z0-9+/=]{2})[A-Za-z0-9+/]{39}(?![A-Za-z0-9+/=])"),
        one_word=True,
        fits=_random_looking,
    ),
)

# The backslash is for keys inside JSON or a .env file that was pasted: their line ends are spelled out.
_PEM = re.compile(
    r"-----BEGIN [A-Z0-9 ]{0,40}PRIVATE KEY(?: BLOCK)?-----(?:(?!-----)[A-Za-z0-9+/=\s:,.()\-\\]){0,20000}"
    r"(?:-----END [A-Z0-9 ]{0,40}PRIVATE KEY(?: BLOCK)?-----)?"
    r"|---- BEGIN [A-Z0-9 ]{0,40}PRIVATE KEY ----(?:(?!----)[A-Za-z0-9+/=\s:,.()\-\\\"]){0,20000}"
    r"(?:---- END [A-Z0-9 ]{0,40}PRIVATE KEY ----)?"
)
_PUTTY = re.compile(r"Private-Lines: [0-9]{1,5}((?:(?!\nPrivate-)[A-Za-z0-9+/=\s\\:]){0,20000})")

# What stands between a name and its value: in a header, a query, JSON, a Python repr, Markdown.
_LEAD = r"""(?:["'`]\s{0,4},|[\\"'`\]*)]{0,6}\s{0,4}(?:=>|:=|[=:])(?:\*\*(?!\*))?)\s{0,4}"""

_QUOTED = (
    r"(?:[bfru]{1,2}(?=\\{0,3}[\"'`]))?(?:"
    r"""\\{1,3}["']((?:(?!\\{1,3}["'])[^\r\n]){1,512})"""  # JSON inside a text of JSON
    r"""|"((?:\\.|[^"\\\r\n]){1,512})"""
    r"""|'((?:\\.|[^'\\\r\n]){1,512})"""
    r"""|`([^`\r\n]{1,512}))"""
)
"""To the quote that ends it, to the end of the line, or 512 characters far."""

_INSIDE = r"([\[{][^\]}]{0,512})"
"""A list or an object in JSON, one level deep."""

_NO_SCHEMA = r"""(?![\[{]\s{0,8}\\?"(?:type|\$ref|description|title|anyof|allof|oneof)\\?")"""
"""A schema says what a secret is like, and is none."""

# A mark that may end a value does so only where something else follows it: a blank, a quote, or another name.
_PLAIN = r"""((?:[^\s"'`,;&]|[,;&](?![\s"'`]|[a-z0-9_.\-]{1,40}\s{0,2}[=:]|\Z)|["'`](?=[a-z0-9])){1,4096})"""

_VALUE = re.compile(rf"{_NO_SCHEMA}(?:{_QUOTED}|{_INSIDE}|{_PLAIN})")
_TEXT_VALUE = re.compile(rf"{_QUOTED}|{_PLAIN}")
_AUTHORIZATION = re.compile(
    _NO_SCHEMA + r"(?:[bfru]{1,2}(?=\\{0,3}[\"'`]))?[\\\"'`]{0,4}(?:"
    r"(?:digest|aws4-hmac-sha256|oauth|signature|hmac[a-z0-9\-]{0,12})\s([^\r\n]{1,2048})"
    r"|(?:(?:bearer|basic|token|api-?key|negotiate|ntlm|key)\s{1,4})?([^\s\"'`,;&]{1,4096})"
    r"|([^\\\"'`\r\n]{1,4096}))"
)

_NO_VALUE = re.compile(
    r"(?:str|string|bytes|int|integer|number|bool|boolean|none|null|nil|true|false|any|optional|undefined|required|self"
    r"|passw(?:or)?d|pwd|secret|token|text|varchar|value|char)[)\],|:?.!\[]{0,4}(?:\s|\Z|=)"
    r"|(?:self|args|os|process|config|settings|cfg|req|request|this|options|opts|params|form|ctx|env|data|user|cls|app)"
    r"\.[a-z_.]{1,60}(?:[\[(,)\s]|\Z)|getpass[.(]|input\("
)
"""Types, names and places where a secret would be put: code that handles secrets holds none."""
_PLACEHOLDER = re.compile(
    r"[\[{<]{1,2}\s?[a-z_][a-z_.\- ]{0,40}[>}\]]{1,2}|\[\]|\{\}|\$\{?[a-z_(]|%[a-z(]|\*{2,}|\.{3}|x{3,}"
    r"|[)\]}>|/\\=:]{1,4}(?:\s|\Z)|[\\\"'`]{0,4}(?:env:|file:)"
)
_QUOTE = re.compile(r"[bfru]{0,2}\\{0,3}[\"'`]")
_NUMBERED = re.compile(r"[bfru]{0,2}\\{0,3}[\"'`]?(?=[^\s\"'`,;&]{0,63}[0-9])[^\s\"'`,;&]{8}")
_NUMBERED_SHORT = re.compile(r"(?=[^\s\"'`,;&]{0,63}[0-9])[^\s\"'`,;&]{5}")

_PAIR = re.compile(r"(?:\(|\[\s{0,3}\[|\],\s{0,3}\[)\s{0,3}b?[\"'][a-z0-9_\-]{0,20}\Z")
_STRONG_TOKEN = re.compile(
    r"(?:access|refresh|auth|authorization|session|security|api|bearer|id|csrf|xsrf|personal|private|bot|client|device"
    r"|reset|deploy|webhook|jwt|sas|oauth|user|admin|app|service|root)[-_]?\Z|[a-z0-9]_\Z"
)
_NO_TOKEN = re.compile(
    r"(?:max|min|num|page|next|prev|previous|continuation|cursor|eos|bos|pad|sep|cls|mask|unk|stop|end|start|sync|per"
    r"|output|input|total|of|by|used|thinking|budget)[-_ ]?\Z"
)
_STRONG_KEY = re.compile(
    r"(?:api|secret|private|account|access|encryption|signing|master|ssh|subscription|storage|license|functions|admin"
    r"|root|host|service|session|auth|hmac|jwt|aes)[-_]?\Z"
)
_NEARLY_KEY = re.compile(r"(?:api|secret|private|account|access|encryption|signing|master)\s\Z")
_BEFORE_CHARS = 24


def _named(match: re.Match[str]) -> bool:
    """Whether a name is that of a secret, and whether what follows it can be one.

    Short names that mean other things too (`token`, `key`, `secret`) need 8 characters and more with a digit.
    """
    text, end, word = match.string, match.end(), match.group()
    if _PLACEHOLDER.match(text, end) or (word[0] != "a" and _NO_VALUE.match(text, end)):
        return False
    before = text[max(0, match.start() - _BEFORE_CHARS) : match.start()]
    if match.group().rstrip()[-1] == "," and _PAIR.search(before) is None:
        return False  # "password", "email" are two names
    joined = before[-1:].isalnum()
    if word.startswith(("passw", "passp", "passc", "authorization", "credential", "sharedaccess")):
        return True
    if word.startswith("pass"):
        return before.endswith(("_", "-", '"', "'"))
    if word.startswith("pwd"):
        return (
            not joined
            and before[-1:] not in ("(", "$", "`")
            and not text.startswith(("/", "~", ".", "c:\\"), end)
        )
    if word.startswith("token"):
        if word.startswith("tokens") or _NO_TOKEN.search(before):
            return False
        strong = _STRONG_TOKEN.search(before) is not None
    elif word.startswith("key"):
        strong = _STRONG_KEY.search(before) is not None
        if not strong and _NEARLY_KEY.search(before) is None:
            return False
    else:
        strong = before.endswith(("_", "-", "client")) or word.startswith(("secret_", "secret-", "secretk"))
    return strong or (not joined and _NUMBERED.match(text, end) is not None)


def _said(match: re.Match[str]) -> bool:
    """A sentence: "the password is wrong" holds none, "the password is hunter2" and one in quotes do."""
    text, end = match.string, match.end()
    if _PLACEHOLDER.match(text, end) or _NO_VALUE.match(text, end):
        return False
    if not match.group().startswith(("passw", "passp", "passc", "pwd")):
        return match.group(1).strip() != "to" and _NUMBERED.match(text, end) is not None
    return _QUOTE.match(text, end) is not None or _NUMBERED_SHORT.match(text, end) is not None


_OPTION_WORDS = re.compile(
    r"(?:to|and|or|is|are|options?|flags?|argument|parameter|for|with|if|in|when|must|on|from|as|the|which|instead|that"
    r"|can|may|takes|sets|was|should|will|stdin|file|not)\b"
)


def _option(match: re.Match[str]) -> bool:
    """A command's option, not a sentence that speaks of one."""
    text, end = match.string, match.end()
    return not (_OPTION_WORDS.match(text, end) or _NO_VALUE.match(text, end) or _PLACEHOLDER.match(text, end))


_BASE64 = re.compile(r"[A-Za-z0-9+/]{6,512}={0,2}")


def _basic(match: re.Match[str]) -> bool:
    """Whether a name and a password in base64 follow. "Basic understanding" are none. Source: RFC 7617."""
    if match.string[max(0, match.start() - 1) : match.start()] not in ("b", "B"):
        return False
    found = _BASE64.match(match.string, match.end())
    value = found.group().rstrip("=") if found is not None else ""
    try:
        return b":" in base64.b64decode(value + "=" * (-len(value) % 4), validate=True)
    except (binascii.Error, ValueError):
        return False


_BEARER_WORD = re.compile(r"[a-z]{1,18}(?:[.:)!?\]]{0,3}(?:[\s\"',;]|\Z))")


def _bearer(match: re.Match[str]) -> bool:
    """A token, not "bearer authentication" or "Bearer <token>"."""
    return not (
        _BEARER_WORD.match(match.string, match.end()) or _PLACEHOLDER.match(match.string, match.end())
    )


_NAMED: tuple[SecretPattern, ...] = (
    SecretPattern(
        ("authorization",),
        re.compile(rf"authorization{_LEAD}"),
        lowered=True,
        value=_AUTHORIZATION,
        fits=_named,
    ),
    SecretPattern(
        ("pass", "pwd", "token", "secret", "key", "credential", "sharedaccess"),
        re.compile(
            r"(?:passw(?:or)?ds?[0-9_]{0,3}|passphrase|passcode|pass|pwd|tokens?|secrets?(?:[-_]?access)?(?:[-_]?key)?"
            rf"|keys?|credentials?|sharedaccess(?:key|signature))(?:{_LEAD}|(\s{{1,3}}(?:is|was|to)\s{{0,3}}:?\s{{1,3}}))"
        ),
        lowered=True,
        value=_VALUE,
        fits=lambda match: _said(match) if match.group(1) else _named(match),
    ),
    SecretPattern(
        ("--",),
        re.compile(
            r"--(?:[a-z0-9]{1,20}-){0,3}(?:password|passwd|passphrase|pass|pwd|token|secret|key|api-?key|secret-?key|"
            r"access-?key|auth-?token)[ =]\s{0,3}(?!-)"
        ),
        lowered=True,
        value=_TEXT_VALUE,
        fits=_option,
    ),
    SecretPattern(
        ("curl", "-user"),
        re.compile(
            r"""\s(?:-u\s{0,3}|-[a-z]{1,4}u\s{1,3}|--(?:proxy-)?user[ =]\s{0,3})(?![0-9]{1,10}:[0-9]{1,10}\s)"""
            r"""(?:"[^\s:"]{1,100}:([^"\r\n]{1,512})|'[^\s:']{1,100}:([^'\r\n]{1,512})"""
            r"""|[^\s:"'\-][^\s:"']{0,100}:([^\s"']{1,512}))"""
        ),
        lowered=True,
    ),
    SecretPattern(
        ("mysql", "sshpass", "mariadb"),
        re.compile(
            r"(?:mysql|mariadb)[a-z]{0,8}\s(?:[^\r\n|;&]{0,120}?\s)?-p([^\s]{1,256})"
            r"|sshpass\s{1,3}-p\s{0,3}([^\s]{1,256})"
        ),
        lowered=True,
    ),
    SecretPattern(
        ("</",),
        re.compile(
            r"<(?:password|passwd|pwd|passphrase|secret|secret_?key|token|api_?key|access_?(?:key|token)|client_?secret"
            r"|auth_?token)(?:\s[^<>\r\n]{0,100})?>([^<]{1,512})</"
        ),
        lowered=True,
    ),
    SecretPattern(
        ("sig=", "signature=", "token=", "key=", "code=", "credential="),
        re.compile(
            r"[?&](?:sig|signature|x-(?:amz|goog)-(?:signature|credential)|code|key|[a-z\-]{0,20}token)="
            r"([^&\s\"'<>]{16,4096})"
        ),
        lowered=True,
    ),
    SecretPattern(("asic ",), re.compile(r"asic {1,4}"), value=_BASE64, fits=_basic),
    SecretPattern(
        ("bearer",),
        re.compile(r"\bbearer\s{1,4}"),
        lowered=True,
        value=re.compile(r"[^\s\"',;]{6,}"),
        fits=_bearer,
    ),
    SecretPattern(
        ("cookie",), re.compile(rf"cookie{_LEAD}(?:[bfru]{{0,2}}[\"'])?([^\"'\r\n]+)"), lowered=True
    ),
    # The password of an address, as postgresql://name:password@host, and a token in its place.
    SecretPattern(("://",), re.compile(r"://[^\s/:@]*:([^\s/]*)@|://([A-Za-z0-9_\-]{20,255})@")),
)

SECRETS: tuple[SecretPattern, ...] = (
    SecretPattern(("PRIVATE KEY",), _PEM),
    SecretPattern(("Private-Lines",), _PUTTY),
    *_NAMED,
    *_AWS,
    *_VENDORS,
)


def secrets_that_may_be_in(text: str, lowered: str, long_words: str) -> list[SecretPattern]:
    """Those of which a mark is there. `lowered` as of `lower_case`, `long_words` as of `long_words_of`."""
    found = []
    for searched, secrets in ((long_words, _OF_WORDS), (lowered, _LOWERED), (text, _EXACT)):
        for marks, secret in secrets:
            for mark in marks:  # a plain loop: most texts are short, and there are many of them
                if mark in searched:
                    found.append(secret)
                    break
    return found


def long_words_of(text: str) -> str:
    """All words of a text that a key may be in."""
    return " ".join([word for word in text.split() if len(word) >= LONG_WORD])


_OF_WORDS = tuple((one.marks, one) for one in SECRETS if one.one_word)
_LOWERED = tuple((one.marks, one) for one in SECRETS if one.lowered)
_EXACT = tuple((one.marks, one) for one in SECRETS if not (one.one_word or one.lowered))
