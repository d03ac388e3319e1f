/* Who owns the blocks in use: the object a block is, the object whose part it is, the object whose C fields lead to it, the
 * interpreter's own state, a library's variables, a thread's stack. What nothing of these leads to is not explained.
 *
 * Classes are tried in this order, each as far as it leads without passing through a managed object, first along pointers to
 * starts of blocks, then along those into them. So every block in use has one class, and the classes add up. */
#ifndef HR_OWNERS_H
#define HR_OWNERS_H

#include "analyzer/session.h"

enum hr_owned {
    HR_OWNED_NOT,        /* nobody known leads to it */
    HR_OWNED_OBJECT,     /* a runtime's object */
    HR_OWNED_PART,       /* of an object, by the runtime's own layout: list items, dict table */
    HR_OWNED_INTERNAL,   /* memory that an object's C fields lead to: buffers, nodes, state of C libraries */
    HR_OWNED_RUNTIME,    /* led to by the variables of the module that holds the runtime: interpreter, thread states, caches */
    HR_OWNED_MODULE,     /* ... of another module: extension modules, C library */
    HR_OWNED_THREAD,     /* by a stack or register only */
    HR_OWNED_CLASSES
};
const char *hr_owned_name(enum hr_owned c);  /* "objects", "parts", … as in JSON */
const char *hr_owned_phrase(enum hr_owned c);

struct hr_owners {
    uint8_t *of;                 /* per block: enum hr_owned; HR_OWNED_NOT for blocks not in use */
    uint64_t (*bytes)[HR_OWNED_CLASSES], (*blocks)[HR_OWNED_CLASSES]; /* per allocator */
    uint16_t nallocators;
};
/* Makes s->owners, and fills the heap's `owner` of what it explains: the object, or the root. */
enum hr_status hr_session_owners(struct hr_session *s) HR_MUST;
uint64_t hr_owners_used(const struct hr_owners *o, uint16_t allocator); /* bytes in use */
/* What the owner's own language names: its object, its variable. */
uint64_t hr_owner_addr(const struct hr_heap *h, hr_id owner);
void hr_owners_destroy(struct hr_owners *o);

#endif
