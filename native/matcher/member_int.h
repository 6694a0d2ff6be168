/* The Python int that a look-up answers with, in two steps: room for it is taken while the memory
 * fetches the member's line, and filled when the line is there. What is left to do after that wait
 * is all that a caller waits for besides it. */
#ifndef MATCHER_MEMBER_INT_H
#define MATCHER_MEMBER_INT_H

#include <Python.h>
#include <stdint.h>

/* Python has one object each for the numbers below. */
#define MEMBER_SHARED_BELOW 257u

#if PY_VERSION_HEX >= 0x030C0000
#define MEMBER_DIGIT(room) ((PyLongObject *)(room))->long_value.ob_digit[0]
#else
#define MEMBER_DIGIT(room) ((PyLongObject *)(room))->ob_digit[0]
#endif

/* An int of one digit that is still to be written: `kept`, the last one, when nobody but its keeper
 * has it any more (as `enumerate` and `zip` do with their tuples), else a new one, which is kept. */
static inline PyObject *member_room(PyObject **kept) {
    PyObject *room = *kept;
#ifndef Py_GIL_DISABLED
    if (room != NULL && Py_REFCNT(room) == 1) {
        Py_INCREF(room);
        return room;
    }
#endif
    room = (PyObject *)_PyLong_New(1);
    if (room == NULL) return NULL;
    MEMBER_DIGIT(room) = 0;
    Py_XSETREF(*kept, Py_NewRef(room));
    return room;
}

/* Whether the member can be written into its room; else it needs an int of its own. */
static inline int member_fits(uint32_t member) {
    return member >= MEMBER_SHARED_BELOW && member < PyLong_BASE;
}

static inline void member_write(PyObject *room, uint32_t member) {
    MEMBER_DIGIT(room) = member;
}

#endif
