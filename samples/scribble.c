/* A crash: a heap overflow scribbles over the next chunk's header, and malloc aborts later, somewhere innocent.
 *
 * An address book keeps a label per entry and reuses the label's block when a new one fits. THE FAULT is in entry_rename():
 * it compares with > where it needs >=, so a label that is exactly as long as the block is large loses its terminator to the
 * next chunk, whose size field becomes 0. The program dies only when one of the two is freed, with "free(): invalid next
 * size (fast)", in book_close(), which did nothing wrong. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { ENTRIES = 400 };

struct entry {
    char *label;
    unsigned room, phone;
};

struct book {
    struct entry *entry[ENTRIES];
    size_t count;
};

static struct entry *entry_new(const char *label, unsigned phone)
{
    struct entry *e = malloc(sizeof *e);
    if (!e)
        exit(1);
    e->room = (unsigned)strlen(label) + 1;
    e->label = malloc(e->room);
    if (!e->label)
        exit(1);
    memcpy(e->label, label, e->room);
    e->phone = phone;
    return e;
}

static void entry_rename(struct entry *e, const char *label)
{
    size_t length = strlen(label);
    if (length > e->room) { /* THE FAULT */
        e->room = (unsigned)length + 1;
        e->label = realloc(e->label, e->room);
        if (!e->label)
            exit(1);
    }
    memcpy(e->label, label, length);
    e->label[length] = 0;
}

static void book_add(struct book *b, const char *surname, const char *first)
{
    char label[80];
    snprintf(label, sizeof label, "%s, %s", surname, first);
    if (b->count < ENTRIES) {
        b->entry[b->count] = entry_new(label, 5550000 + (unsigned)b->count);
        b->count++;
    }
}

static void book_close(struct book *b)
{
    for (size_t i = 0; i < b->count; i++) {
        free(b->entry[i]->label);
        free(b->entry[i]);
    }
    free(b);
}

int main(void)
{
    static const char *const surname[] = {"Abel", "Bergmann", "Castellanos", "Drummond-Hay", "Eriksson", "Featherstone"};
    static const char *const first[] = {"Ada", "Benedikt", "Cornelia", "Dominique", "Eva", "Friedrich-W.", "Gundula"};
    struct book *book = calloc(1, sizeof *book);
    if (!book)
        return 1;
    for (unsigned i = 0; i < ENTRIES; i++)
        book_add(book, surname[i % 6], first[i % 7]);
    /* A wedding: "Drummond-Hay, Dominique" gets one letter more. */
    entry_rename(book->entry[129], "Drummond-Hayes, Dominik!");
    printf("%zu entries\nready\n", book->count);
    fflush(stdout);
    book_close(book); /* aborts here */
    return 0;
}
