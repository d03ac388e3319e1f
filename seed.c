
struct node { struct node *next; int v:3; unsigned w:9; char name[4]; union { int i; double d; }; };
typedef struct { struct node n[2][3]; int flex[]; } T; enum e { A, B = 5 }; struct o; struct o *op;
T *g; enum e ge; static struct node *s; __thread int tl; int (*fp)(struct node *, enum e);
int f(int a) { static int calls; { static struct node loc; loc.v = a; s = &loc; } return calls += a + (g != 0) + tl; }
