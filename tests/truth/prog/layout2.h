typedef struct { int a; long b; } shared_t;
struct opaque2 { struct opaque2 *self; struct opaque *other; };
void layout2_say(void);
extern struct opaque2 g_second;
