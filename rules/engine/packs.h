/* The built-in packs: rules/packs/ *.rules as strings, written by the Makefile into build/rules/packs.c. */
#ifndef HR_RULES_PACKS_H
#define HR_RULES_PACKS_H

struct hr_pack { const char *name, *text; }; /* the last has no name */
extern const struct hr_pack hr_packs[];

#endif
