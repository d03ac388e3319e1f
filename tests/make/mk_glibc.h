/* Writes the memory of a process with a glibc heap: main_arena and mp_ in a data segment, the brk heap, one more arena, mmapped
 * chunks, a thread's TLS; any version from 2.23 to 2.42, word size, byte order and alignment. And says what is in it.
 *
 * The numbers are those a C compiler gave for the structures of each release, not the reader's. */
#ifndef HR_TESTS_MK_GLIBC_H
#define HR_TESTS_MK_GLIBC_H

#include "tests/make/mk.h"

struct mk_glibc_facts {
    unsigned bits, align, minor; /* minor: this and later ones, up to the next row's */
    unsigned fast, top, bins, next, system, max_system, state_size, heap_info;
    unsigned n_mmaps, mmapped_mem, max_mmapped_mem, sbrk_base, mp_size;
    unsigned tc_entries, tc_chunk; /* 0 before 2.26 */
};
const struct mk_glibc_facts *mk_glibc_facts(unsigned bits, unsigned align, unsigned minor);

enum mk_state { MK_USED, MK_CACHED, MK_FREE, MK_OWN }; /* as enum hr_state */
struct mk_block {
    uint64_t addr, size;
    enum mk_state state;
};
struct mk_part {
    uint64_t addr;
    struct mk bytes;
    bool writable, module;
};
enum { MK_PART_RODATA, MK_PART_DATA, MK_PART_HEAP, MK_PART_ARENA, MK_PART_MMAPPED, MK_PART_TLS, MK_PARTS };

struct mk_glibc {
    unsigned word, align, minor; /* in */
    bool big, says_version;
    unsigned chunks;             /* per arena */
    uint64_t seed;
    struct mk_part part[MK_PARTS]; /* out */
    struct mk_block *block;        /* by address within each part; parts in the order of their addresses */
    unsigned nblocks;
    uint64_t main_arena, mp, tp;
    uint64_t system[2], n_mmaps, mmapped_mem;
};
/* The caller sets the first six members. */
void mk_glibc(struct mk_glibc *m);
void mk_glibc_free(struct mk_glibc *m);

#endif
