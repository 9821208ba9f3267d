"""What is extracted when nothing else is asked for: who said how much, how it began and how it ended."""

from collections import Counter
from collections.abc import Sequence

from oncestore._messages import Message

_LINE_MOST = 200  # characters


async def digest(messages: Sequence[Message], key: str) -> str:
    """A summary in four lines that needs no model: deterministic, and cheap.

    >>> import trio
    >>> said = [("user", "Where is\\nthe key?"), ("assistant", "Under the mat."), ("user", "Thank you")]
    >>> messages = [Message(id=str(n), role=role, content=text, time=n) for n, (role, text) in enumerate(said)]
    >>> print(trio.run(digest, messages, "key"))
    3 messages, 40 characters
    by role: user 2, assistant 1
    first: user: Where is
    last: user: Thank you
    """
    roles = Counter(message.role for message in messages)
    characters = sum(len(message.content) for message in messages)
    return "\n".join(
        (
            f"{len(messages)} message{'s' * (len(messages) != 1)}, {characters} characters",
            "by role: " + ", ".join(f"{_shown(role)} {count}" for role, count in roles.most_common()),
            f"first: {_line(messages[0])}",
            f"last: {_line(messages[-1])}",
        )
    )


def _line(message: Message) -> str:
    lines = message.content.strip().splitlines()
    return f"{_shown(message.role)}: {_shown(lines[0] if lines else '')}"


def _shown(text: str) -> str:
    text = " ".join(text.split())
    return text if len(text) <= _LINE_MOST else f"{text[: _LINE_MOST - 1]}…"
