"""What decoders raise for bytes that are not what they should be, under one name for every border.

What must not enter: what is done about it.
"""

from typing import Final

import msgspec

#: For `except`: not the format or not the type; a string that is no UTF-8 (no error of msgspec's own); nested too deep.
DAMAGED: Final = (msgspec.DecodeError, UnicodeDecodeError, RecursionError)
