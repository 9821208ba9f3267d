"""The store over HTTP: ``oncestore serve``. Needs the extra: ``pip install 'racewindow[server]'``.

``_operations`` is the table of what can be asked for; requests are checked, routed and documented from it. ``_gate`` is
what every request goes through, ``_answers`` how it is answered, ``_running`` starts and stops the server.
"""

from ._app import create_app as create_app
from ._digest import digest as digest
from ._gate import Limits as Limits
from ._running import serve as serve
