/* A scene editor whose nodes own each other: dropped scenes stay as rings.
 *
 * Nodes are reference-counted. A node owns its children (one reference each), and, THE FAULT, its parent too: node_add()
 * takes a reference for the back pointer. A scene that is closed loses its last outside reference, but parent and children
 * hold each other, so no counter reaches zero. Every closed scene is one ring of nodes with meshes and names hanging off it.
 *
 * The editor keeps the eight newest scenes open; those are fine. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

enum { SCENES = 240, OPEN = 8 };

struct mesh {
    unsigned triangles;
    float *vertex;
};

struct node {
    int references;
    char *name;
    struct node *parent;
    struct node **child;
    size_t children, room;
    struct mesh *mesh;
};

struct editor {
    struct node *scene[OPEN];
    unsigned opened;
};

static struct editor *editor;
static unsigned long nodes_alive, blocks_alive; /* the truth, for the reader */

static void *grab(size_t n, size_t size)
{
    void *p = calloc(n, size);
    if (!p)
        exit(1);
    blocks_alive++;
    return p;
}

static void give_back(void *p)
{
    blocks_alive -= p != NULL;
    free(p);
}

static struct node *node_new(const char *kind, unsigned number)
{
    struct node *n = grab(1, sizeof *n);
    n->references = 1;
    n->name = grab(1, 40);
    snprintf(n->name, 40, "%s %u", kind, number);
    nodes_alive++;
    return n;
}

static struct node *node_ref(struct node *n)
{
    n->references++;
    return n;
}

static void node_unref(struct node *n)
{
    if (!n || --n->references)
        return;
    for (size_t i = 0; i < n->children; i++)
        node_unref(n->child[i]);
    if (n->mesh)
        give_back(n->mesh->vertex);
    give_back(n->mesh);
    give_back(n->child);
    give_back(n->name);
    give_back(n);
    nodes_alive--;
}

/* Takes over the caller's reference to child. */
static void node_add(struct node *parent, struct node *child)
{
    if (parent->children == parent->room) {
        struct node **more = grab(parent->room + 4, sizeof *more);
        memcpy(more, parent->child ? parent->child : more, parent->children * sizeof *more);
        give_back(parent->child);
        parent->child = more;
        parent->room += 4;
    }
    parent->child[parent->children++] = child;
    child->parent = node_ref(parent); /* THE FAULT: a back pointer must not own */
}

static void node_mesh(struct node *n, unsigned triangles)
{
    n->mesh = grab(1, sizeof *n->mesh);
    n->mesh->triangles = triangles;
    n->mesh->vertex = grab(triangles * 9, sizeof(float));
}

static struct node *scene_load(unsigned number)
{
    struct node *scene = node_new("scene", number);
    for (unsigned i = 0; i < 2 + number % 4; i++) {
        struct node *group = node_new("group", i);
        for (unsigned k = 0; k < 1 + (number + i) % 6; k++) {
            struct node *part = node_new("part", k);
            node_mesh(part, 4 + (number * 7 + k) % 60);
            node_add(group, part);
        }
        node_add(scene, group);
    }
    return scene;
}

static void editor_open(struct node *scene)
{
    unsigned slot = editor->opened++ % OPEN;
    node_unref(editor->scene[slot]); /* close the oldest */
    editor->scene[slot] = scene;
}

/* A scene without children has no ring and goes away as it should. */
static void editor_open_empty(unsigned number)
{
    editor_open(node_new("empty scene", number));
}

static unsigned long count_blocks(const struct node *n)
{
    unsigned long sum = 2 + (n->child != NULL) + 2ul * (n->mesh != NULL);
    for (size_t i = 0; i < n->children; i++)
        sum += count_blocks(n->child[i]);
    return sum;
}

int main(void)
{
    editor = grab(1, sizeof *editor);
    unsigned rings = 0;
    for (unsigned i = 0; i < SCENES; i++) {
        if (i % 5 == 4) {
            editor_open_empty(i);
        } else {
            editor_open(scene_load(i));
            rings++;
        }
    }
    unsigned long live = 1;
    for (unsigned i = 0; i < OPEN; i++) {
        live += count_blocks(editor->scene[i]);
        rings -= editor->scene[i]->children != 0;
    }
    printf("%lu nodes; lost: %u rings, %lu blocks\nready\n", nodes_alive, rings, blocks_alive - live);
    fflush(stdout);
    pause();
    return 0;
}
