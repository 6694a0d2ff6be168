# cython: language_level=3
from native.fold.folding cimport CRules


cdef class Rules:
    cdef CRules c
    cdef readonly bytes digest
