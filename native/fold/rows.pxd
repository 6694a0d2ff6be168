# cython: language_level=3
from native.fold.folding cimport CRows


cdef class Rows:
    cdef CRows c
    cdef object kept
