/* Every bound in one page, each with its reason. A bound is a promise: input beyond it is noted, never fatal by itself. */
#ifndef HR_BASE_LIMITS_H
#define HR_BASE_LIMITS_H

enum {
    HR_MAX_NOTES = 200,           /* more than anybody reads; the rest is counted */
    HR_MAX_STRING = 4096,         /* a C++ template name above this is cut; longest seen in practice about 3 KiB */
    HR_MAX_STRINGS = 32 << 20,    /* interned names of one session */
    HR_MAX_SEGMENTS = 4 << 20,    /* vm.max_map_count is 65,530 by default; admins raise it to a million */
    HR_MAX_THREADS = 1 << 20,     /* Linux' own limit on pids is 4 Mi; a core of a million threads would be its first */
    HR_MAX_MODULES = 65536,       /* one per mapped file; the largest processes seen map about 2,000 */
    HR_MAX_REGIONS = 8 << 20,     /* heap regions: mmapped chunks are one each */
    HR_MAX_NEST = 8,              /* allocators within allocators' blocks; three are in use today (malloc, pymalloc, a pool) */
    HR_MAX_PIECES = 256 << 20,    /* runs of blocks; one per block at worst, when every block is larger than 900 KiB */
    HR_MAX_NOTE_BYTES = 1 << 30,  /* a PT_NOTE of a core with a million threads is about 600 MiB */
    HR_MAX_SECTIONS = 1 << 20,    /* -ffunction-sections gives an object file tens of thousands; executables have about 40 */
    HR_MAX_SYMBOLS = 16 << 20,    /* per module; Chromium with debug symbols has about 2 Mi */
    HR_MAX_TYPES = 64 << 20,      /* rows of the type table */
    HR_MAX_FIELDS = 128 << 20,
    HR_MAX_ROOTS = 64 << 20,      /* variables, stack slots, static objects */
    HR_MAX_RUNS = 1 << 16,        /* free runs kept one by one (the largest); sums cover all of them */
    HR_MAX_PIN_GROUPS = 1 << 20,  /* (arena, type or size) groups of blocks that pin free runs */
    HR_MAX_GROUPS = 4096,         /* unnamed groups of blocks: far more than anybody reads */
    HR_MAX_FRAMES = 4096,         /* frames unwound per thread: deeper is runaway recursion, said as such */
    HR_MAX_FINDINGS = 100000,     /* SARIF viewers take 25,000; the worst are kept and the rest is counted */
    HR_MAX_SKIPPED = 10000,       /* one per rule */
    HR_MAX_HOPS = 4096,           /* of one trace: a longer path is a linked list walked from its head */
    HR_MAX_MEMBERS = 20,          /* examples per finding: enough to recognise a pattern */
    HR_MAX_RULE_FILE = 4 << 20,   /* bytes: the largest rule collections of other tools are under 1 MiB a file */
    HR_MAX_RULE_BYTES = 64 << 20, /* syntax trees and texts of all rule files together */
    HR_MAX_RULE_ERRORS = 100,     /* beyond this it is not a rule file */
    HR_MAX_RULES = 4096,          /* rules, and also lets, sets, types, allows: each */
    HR_MAX_RULE_INCLUDES = 256,   /* files, whatever way they include each other */
    HR_MAX_RULE_NESTING = 8,      /* of includes */
    HR_MAX_RULE_DEPTH = 200,      /* of an expression: the checker and the compiler recurse on it */
    HR_MAX_RULE_CODE = 1 << 16,   /* instructions of one program: lets and sets are expanded in place */
    HR_MAX_RULE_GROUPS = 1 << 18, /* groups of one rule: more is no summary */
    HR_MAX_RULE_TEXT = 1024,      /* a rendered title: SARIF viewers cut there */
    HR_MAX_TABLE_BYTES = 64 << 20, /* text of one printed table: far beyond what anybody scrolls through */
    HR_MAX_ALL_FRAMES = 1 << 20,  /* of all threads together (about 400 bytes each) */
    HR_MAX_LOCALS = 16 << 20,     /* of all frames together */
    HR_MAX_FDES = 8 << 20,        /* functions in one .eh_frame or .debug_frame; Chromium has about a million */
    HR_LOC_SLOTS = 64,            /* stack of a location expression; compilers use fewer than 10 */
    HR_LOC_STEPS = 1000,          /* operations of one expression: branches can loop */
};
/* Bytes of array data read whole for the rules about arrays: a few seconds; of what is beyond, each array's first MiB is looked at. */
#define HR_MAX_ARRAY_BYTES (32ull << 30)
/* Blocks of one image. Ids are 32 bits and HR_NONE is taken; 4 G blocks are 64 GiB of smallest chunks at least. */
#define HR_MAX_BLOCKS 0xf0000000u

#endif
