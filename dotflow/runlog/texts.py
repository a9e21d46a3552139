"""What reports say of values: contexts and errors as JSON text, encoded once, bounded, masked."""

from __future__ import annotations

from collections.abc import Callable
from itertools import islice
from typing import TYPE_CHECKING, Any

from dotflow.core.context import Context
from dotflow.runlog import shown
from dotflow.runlog.plain import Copy, Survey, storage_of
from dotflow.runlog.shown import ValueTooLargeError
from dotflow.utils import masking
from dotflow.utils.json_text import pieces_of
from dotflow.utils.patterns import later

if TYPE_CHECKING:
    import re
    from collections.abc import Iterable, Iterator

    from dotflow.abc.facts import RunBegan
    from dotflow.abc.task import Failure
    from dotflow.abc.words import Words

Redact = Callable[[str, Any], Any]
"""Called with a role ("initial", "previous", "current" or "error") and a value; returns what
reports may say of it. Of an error it gets the message and the traceback, each as a str."""

MAX_SIZE = 5 * 2**20
"""Bytes that a text may have: what is larger fits into no body."""

EXCEEDED = '{"message": "Context size exceeded"}'
NULL = "null"

MAX_ERROR_TEXT = 2**16
"""Characters of an error's message, and of its traceback."""

FEW = 4
"""A limit's part that texts may have without a measure: `\\u0001` is six times as long."""

PORTION = 4096
"""Entries of a dict, or of a list, that are encoded at a time."""

BYTES_A_CHARACTER = 3  # of a text that was cut: most texts in any script fit whole

_CUT = " [cut] "
HEAD = MAX_ERROR_TEXT - len(_CUT)

LEAD = 2**17
"""Characters of each end of a long text of an error that are looked at."""

NEAR = 4096

FEW_PARTS, SHORT_TEXT = 16, 256
"""Parts of a small value, and characters of a text in it."""

SMALL = 8 * FEW_PARTS * max(SHORT_TEXT, masking.MAX_KEY)
"""Bytes that its text has at the most, whatever escapes it needs."""

_WORD = 2**63

_NOT_SMALL = (object(),)
"""Stands for the parts of what is no small value."""

# What a strict parser or a line of a file does not take, or a terminal obeys.
_UNSAFE = later("[\x7f-\x9f\u2028\u2029\ud800-\udfff]")


def _escape(found: re.Match[str]) -> str:
    character = found[0]
    return f"\\u{ord(character):04x}" if character < "\ud800" else "\ufffd"


def _unknown(value: Any) -> Any:
    """Stop the encoder: the value changed after it was counted."""
    raise TypeError(shown.name(value))


_pieces = pieces_of(is_compact=False, allow_nan=False, default=_unknown)


def _encode(value: Any) -> str:
    return "".join(_pieces(value, 0))


def _portions(value: Any) -> Iterator[str]:
    """The text of a plain value; of many parts in portions, for the encoder needs their memory."""
    kind = type(value)
    if (kind is not dict and kind is not list) or len(value) <= PORTION:
        yield _encode(value)
        return
    parts = iter(value.items() if kind is dict else value)
    between = "{" if kind is dict else "["
    while portion := kind(islice(parts, PORTION)):
        yield between
        yield _encode(portion)[1:-1]
        between = ", "
    yield "}" if kind is dict else "]"


class Texts:
    """What reports may say of values: chosen once a Server.

    Args:
        contexts: Whether they say anything of contexts.
        redact: What a program wants hidden that its keys do not show.
        whole_values: Whether the values of credential-like keys are shown. What the variable
            DOTFLOW_WHOLE_VALUES says if it is None.
        limit: Bytes that the text of one value may have.

    Attributes:
        is_masking: Whether credentials are masked.
        name: Gives what they say in place of a name; a program may make names of anything.
    """

    def __init__(
        self,
        contexts: bool = True,
        redact: Redact | None = None,
        whole_values: bool | None = None,
        limit: int = MAX_SIZE,
    ) -> None:
        self._contexts = contexts
        self._redact = redact
        self.is_masking = not (masking.are_values_whole() if whole_values is None else whole_values)
        self._limit = limit
        self.name: Callable[[str], str] = masking.masked_name if self.is_masking else str
        self._last: tuple[Failure | None, Words] = (None, ("", ""))

    def of(self, role: str, value: Any) -> str:
        """The JSON text of a value; "null" for None. Never raises.

        Memory is bounded by three times the limit (more for characters beyond U+00FF, which
        Python itself holds in two or four bytes), and time by the count of the leaves.

        Args:
            role: "initial", "previous" or "current".
            value: Any value, or a Context.
        """
        if value is None or not self._contexts:
            return NULL
        try:
            if issubclass(type(value), Context):
                value = storage_of(value)
            if self._redact is not None and value is not None:
                value = self._redact(role, value)
            text = self._of_small(value)
            return self._text(value) if text is None else text
        except ValueTooLargeError:
            return EXCEEDED
        except BaseException as error:
            if shown.is_from_signal(error):
                raise
            return _encode(f"{shown.name(error)} while a value was written")

    def of_error(self, error: Failure | None) -> str:
        """The JSON object of an error; "null" for None. Never raises."""
        if error is None:
            return NULL
        try:
            message, traceback = self.words_of(error)
            text = _encode(
                {
                    "attempt": error.attempt,
                    "exception": _beginning(error.exception),
                    "message": message,
                    "traceback": traceback,
                    "error_type": _beginning(error.error_type),
                }
            )
            return self._bounded(_safe(text))
        except BaseException as fault:
            if shown.is_from_signal(fault):
                raise
            return _encode({"message": f"{shown.name(fault)} while an error was written"})

    def of_run(self, fact: RunBegan) -> RunBegan:
        """The same fact with the names that may be said, without half surrogate pairs."""
        plan, name = fact.plan, fact.name and self.name(masking.clean(str(fact.name)))
        known = {one for task in plan for one in (task.name, task.group_name)}
        said = {one: self.name(masking.clean(one)) for one in known}
        if any(text != one for one, text in said.items()):
            plan = tuple(
                one._replace(name=said[one.name], group_name=said[one.group_name]) for one in plan
            )
        return fact._replace(name=name, plan=plan)

    def words_of(self, error: Failure) -> Words:
        """The message and the traceback of an error, as they may be said. Never raises.

        The words of one error are asked for at several turns, and made once.
        """
        known, words = self._last
        if known is not error:
            words = self.said(error.message), self.said(error.traceback, is_traceback=True)
            self._last = error, words
        return words

    def masked(self, text: str) -> str:
        """What may be said of a text that is neither a value nor an error's."""
        return masking.masked(text) if self.is_masking else text

    def said(self, text: str, is_traceback: bool = False) -> str:
        """What may be said of a message, or of a traceback. Never raises."""
        # A traceback begins with where it happened and ends with what did.
        half = HEAD // 2
        return self._words(text, half, half) if is_traceback else self._words(text, HEAD, 0)

    @property
    def for_a_child(self) -> dict[str, bool]:
        """What a process that is not forked makes its own Texts of."""
        return {"whole_values": not self.is_masking, "is_hidden": self._redact is not None}

    @classmethod
    def of_parent(cls, whole_values: bool, is_hidden: bool) -> Texts:
        """The Texts of a child that has no `redact`: what that would have shaped is not said."""
        return cls(redact=_hide if is_hidden else None, whole_values=whole_values)

    def _of_small(self, value: Any) -> str | None:
        """The text of a small value; None where something in it may need a mask or an escape."""
        words = has_words(value) if self._limit >= SMALL else None
        if words is None:
            return None
        try:
            text = _encode(value)
        except (ValueError, TypeError, RecursionError):
            return None  # another thread changed the value
        if words and (not text.isascii() or "\x7f" in text):
            return None
        is_looked_at = words and self.is_masking
        return None if is_looked_at and masking.has_stem(text.casefold()) else text

    def _text(self, value: Any) -> str:
        survey = Survey(self._limit, self.is_masking)
        survey.count(value)
        if survey.is_plain:
            try:
                text = self._encoded(value, survey.characters)
            except (ValueError, TypeError, RecursionError):
                pass  # a NaN, or another thread changed the value
            else:
                if not (self.is_masking and masking.has_stem(text.casefold())):
                    return text
                if not masking.may_hold(text):
                    return text
        copy = Copy(self._limit, self.is_masking)
        value = copy.of(value)
        return self._encoded(value, survey.characters + self._limit - copy.room)

    def _encoded(self, value: Any, characters: int) -> str:
        """The text of a plain value with so many characters that may need an escape."""
        if characters * FEW > self._limit:
            Survey(self._limit, is_masking=False, is_exact=True).count(value)
        text = _safe("".join(_portions(value)))
        return text if len(text) * FEW < self._limit else self._bounded(text)

    def _bounded(self, text: str) -> str:
        size = len(text) if text.isascii() else len(text.encode())
        return text if size <= self._limit else EXCEEDED

    def _words(self, text: str, head: int, tail: int) -> str:
        """The words of an error, as they may be said: so many characters of both ends."""
        if self._redact is not None:
            try:
                text = self._redact("error", text)
            except BaseException as error:
                if shown.is_from_signal(error):
                    raise
                return f"{shown.name(error)} while the text was redacted"
        if type(text) is not str:
            text = shown.Shown(self.is_masking, self._limit).text(text, 1)
        # What is cut off is masked first: what is left of a credential could not be told from text.
        ends = [text]
        if len(text) > 2 * LEAD:
            ends = [_begin(text[:LEAD]), _end(text[-LEAD:]) if tail else ""]
        if self.is_masking:
            ends = [masking.masked(one) for one in ends]
        if len(ends) == 1 and len(ends[0]) <= head + tail:
            return ends[0]
        return f"{ends[0][:head]}{_CUT}{ends[-1][len(ends[-1]) - tail :]}"


def _hide(_role: str, _value: Any) -> str:
    return masking.MASK


def cut(text: str, limit: int) -> tuple[str, bool]:
    """The beginning of a JSON text, for the attribute of a span, and whether it was cut.

    Args:
        text: The text.
        limit: Characters. The beginning has at most three times as many bytes.
    """
    if text.isascii():
        return (text, False) if len(text) <= limit else (text[:limit], True)
    beginning = masking.clean(text[:limit]).encode()[: BYTES_A_CHARACTER * limit]
    found = beginning.decode(errors="ignore")
    return found, len(found) < len(text)


def _safe(text: str) -> str:
    """A JSON text without raw control characters and half surrogate pairs."""
    if text.isascii():
        return text.replace("\x7f", "\\u007f") if "\x7f" in text else text
    return _UNSAFE.sub(_escape, text)


def _beginning(text: str) -> str:
    return text if len(text) <= HEAD else text[:HEAD] + _CUT


def _begin(text: str) -> str:
    """A beginning without its last word, which may be the half of one."""
    last = max(text.rfind(" ", LEAD - NEAR), text.rfind("\n", LEAD - NEAR))
    return text if last < 0 else text[: last + 1]


def _end(text: str) -> str:
    """An end that begins with a whole line, or word."""
    line = text.find("\n", 0, -1)
    return text[(line if line >= 0 else text.find(" ")) + 1 :]


def has_words(value: Any) -> bool | None:
    """Whether there are texts in a small value; None if it is large, or has parts with parts.

    The standard encoder is right about a small one. If it has no texts, nothing in it needs a mask:
    its keys are known, and need none.
    """
    found = False
    for item in _parts(value):
        kind = type(item)
        if kind is str:
            found = True
            if len(item) > SHORT_TEXT:
                return None
        elif kind is int or kind is float:
            if not -_WORD < item < _WORD:  # nor is a NaN, or an infinity
                return None
        elif kind is not bool and item is not None:
            return None
    return found


def _parts(value: Any) -> Iterable[Any]:
    kind = type(value)
    if kind is not dict and kind is not list and kind is not tuple:
        return (value,)
    if len(value) > FEW_PARTS:
        return _NOT_SMALL
    if kind is not dict:
        return value  # type: ignore[no-any-return]
    for key in value:
        if type(key) is not str or masking.remembered(key) != 0 or not key.isidentifier():
            return _NOT_SMALL
    return value.values()  # type: ignore[no-any-return]
