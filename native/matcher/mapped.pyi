from native.matcher.header import Header

class File:
    header: Header
    path: str
