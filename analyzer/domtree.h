/* The dominator tree as lists of children, and as what people read: siblings of one kind put together. */
#ifndef HR_DOMTREE_H
#define HR_DOMTREE_H

#include "analyzer/base/map.h"
#include "analyzer/session.h"

/* Children of node i are child[first[i] .. first[i + 1]); node n is the virtual root, above all roots and all leaks. */
struct hr_domtree {
    uint32_t n, *first, *child;
    struct hr_map handle;    /* block -> the root that a runtime has a name for and that leads to it: "__main__" */
};
/* From idom of n nodes (hr_graph_dominators). The caller calls hr_domtree_deinit() whatever is returned. */
enum hr_status hr_domtree_init(struct hr_domtree *t, const uint32_t *idom, uint32_t n) HR_MUST;
/* Fills t->handle. A module's dict is held by the module, its functions and frames alike, so that none of them dominates it; to the
 * reader it is still the module. */
enum hr_status hr_domtree_names(struct hr_domtree *t, const struct hr_session *s) HR_MUST;
void hr_domtree_deinit(struct hr_domtree *t);

/* Siblings of one kind: roots of one name, blocks of one type (or of one unnamed group), and what hangs below these of the same kind: a
 * linked list or a search tree is one group, not a level per link. */
struct hr_domgroup {
    hr_id node;              /* the one that retains most */
    uint64_t key;
    uint64_t count, bytes, retained;
    uint32_t first;          /* members: member[first .. first + count) of the level */
    bool leaked;
};
HR_VEC(hr_domgroupvec, struct hr_domgroup)
struct hr_domlevel { struct hr_u32vec member; struct hr_domgroupvec group; /* most retained first */ };
/* All children of nodes[0..n), put together, without those of the group `above` itself (its key; 0: none). n at most the number of nodes.
 * The caller calls hr_domlevel_deinit(). */
enum hr_status hr_domlevel_of(struct hr_session *s, const struct hr_domtree *t, const uint32_t *nodes, size_t n, uint64_t above,
                              struct hr_domlevel *ret) HR_MUST;
/* What a group is, for people: a root's name, "5,000 x struct node", "leaked: ...", ".cache: dict" below its parent. At the top of the tree
 * (parent NULL) what several roots hold has the way from one of them: "__main__['log']: list". Counts as text by `count`. Returns buf. */
char *hr_domgroup_name(struct hr_session *s, const struct hr_domtree *t, const struct hr_domgroup *g, const struct hr_domgroup *parent,
                       const char *count, char *buf, size_t cap);
void hr_domlevel_deinit(struct hr_domlevel *l);

#endif
