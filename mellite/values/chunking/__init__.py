"""Cut a text into chunks while it arrives: words, sentences, lines, code fences, JSON values, or your own way.

The chunks of a text add up to it exactly, know where in it they stand, and are the same however the text came in
pieces. A chunker is plain code: ``feed(text)`` gives the chunks that are complete by then, ``end()`` the rest.
It looks at each character a bounded number of times.

========================  ===========================================================================================
``None``, ``"as-sent"``   each delta, as the provider sent it
``"words"``               a word with the white space after it
``"sentences"``           a sentence; `mellite.values.chunking.sentences` says where one ends
``"paragraphs"``          up to and with the first blank line
``"lines"``               up to and with the line break (LF, CR LF or CR)
``"code-fences"``         what stands between fences, and each fenced block, in turns
``"json"``                each complete element of the outermost array or object, and what stands around them
an int                    that many characters
a compiled pattern        a chunk ends with each match
a function                from a text to its consecutive pieces; the last one waits, because it may still grow
feed() and end()          an object of your own with these two methods, or its class
========================  ===========================================================================================
"""

from __future__ import annotations

from .choosing import Chunking, chunk, chunker_for
from .cutting import AsSent, Chunk, Chunker, Kind
from .own import ByPattern, Split

__all__ = ["AsSent", "ByPattern", "Chunk", "Chunker", "Chunking", "Kind", "Split", "chunk", "chunker_for"]
