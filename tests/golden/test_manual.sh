#!/usr/bin/env bash
# The manual, --help and the completion name the same verbs and options, and `make install` puts them where they belong.
n=0 bad=0
ok() { # STATUS NAME
    n=$((n + 1))
    if [ "$1" = 0 ]; then echo "ok $n - $2"; else echo "not ok $n - $2"; bad=1; fi
}
help=$("$HEAPRAY" --help)
options=$(grep -oE '^ +(-., )?--[a-z-]+' <<<"$help" | grep -oE -- '--[a-z-]+')
verbs=$(sed -n '/^verbs:/,/^$/s/^  \([a-z]\+\).*/\1/p' <<<"$help")
[ "$(wc -w <<<"$options")" -gt 20 ] && [ "$(wc -w <<<"$verbs")" -ge 9 ]
ok $? "--help lists options and verbs"

page=$(sed 's/\\-/-/g' analyzer/cli/man/heapray.1)
for o in $options; do
    grep -qE -- "$o( |\$|\")" <<<"$page"
    ok $? "heapray.1 has $o"
done
for o in $(grep -oE -- '(^| |")--[a-z-]+' <<<"$page" | tr -d ' "' | sort -u); do
    grep -qx -- "$o" <<<"$options"
    ok $? "$o of heapray.1 exists"
done
for v in $verbs; do
    grep -q "heapray-$v" analyzer/cli/man/heapray-$v.1 && grep -q "$v" analyzer/cli/man/heapray.1
    ok $? "$v has a page"
    [ -n "$("$HEAPRAY" $v --help)" ]
    ok $? "$v --help says something"
done

complete_words() { # WORDS…: what the completion offers for the last one
    (. analyzer/cli/completion/heapray.bash; COMP_WORDS=("$HEAPRAY" "$@") COMP_CWORD=$#; _heapray; printf '%s\n' "${COMPREPLY[@]}")
}
complete_words ch | grep -qx check
ok $? "completes a verb"
complete_words check --fail | grep -qx -- --fail-on
ok $? "completes an option"
[ "$(complete_words check x --fail-on w)" = warning ]
ok $? "completes an option's value"

make --no-print-directory -s install DESTDIR="$TMPDIR/root" PREFIX=/usr B="$HR_BUILD" >/dev/null 2>"$TMPDIR/err" || cat "$TMPDIR/err"
for f in bin/heapray lib/libheapray.a include/heapray.h share/man/man1/heapray.1 share/man/man1/heapray-check.1 \
    share/bash-completion/completions/heapray; do
    [ -s "$TMPDIR/root/usr/$f" ]
    ok $? "installs $f"
done
"$TMPDIR/root/usr/bin/heapray" --version | grep -q '^heapray [0-9]'
ok $? "the installed program runs"
cat >"$TMPDIR/use.c" <<'C'
#include <heapray.h>
#include <stdio.h>
int main(void)
{
    struct heapray_options opt = {.image = "/nonexistent/core"};
    struct heapray_session *s = NULL;
    char *error = NULL;
    enum heapray_status st = heapray_open(&opt, &s, &error);
    printf("%d %s\n", st, error ? error : "");
    heapray_free_string(error);
    heapray_close(s);
    return st == HEAPRAY_OK;
}
C
gcc -Wall -Wextra -Werror -I"$TMPDIR/root/usr/include" -o "$TMPDIR/use" "$TMPDIR/use.c" "$TMPDIR/root/usr/lib/libheapray.a" \
    -ldwarf -lcapstone -lpcre2-8 -lz -lzstd -llz4 -lpthread -lm && "$TMPDIR/use" | grep -q nonexistent
ok $? "a program with the installed header and library links and gets an error for a missing file"
echo "1..$n"
exit $bad
