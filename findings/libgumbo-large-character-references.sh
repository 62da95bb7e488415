#!/usr/bin/env bash
# libgumbo 0.10.1 (Debian 12): a numeric character reference of 2^31 or more is not U+FFFD, as the HTML standard says of every
# one beyond U+10FFFF. The number wraps around in 32 bits: what follows in the text is lost to readers of C strings, or the
# reference becomes another character.
#
# Expected of each: "x", a space, U+FFFD, a space, "y".
# Seen, as C strings (bytes in hexadecimal):
#   x &#1114112; y     78 20 ef bf bd 20 79   right
#   x &#2147483647; y  78 20 ef bf bd 20 79   right
#   x &#2147483648; y  78 20                  a NUL stands in the text
#   x &#4294967295; y  78 20 26 79            an ampersand, and the space is gone
#   x &#4294967361; y  78 20 41 20 79         the letter A
# Matters to whoever takes text out of pages with it: rewrite such references before parsing.
set -euo pipefail
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
cd "$work"
apt-get -o APT::Sandbox::User="$(id -un)" -qq download libgumbo1=0.10.1+dfsg-5 libgumbo-dev=0.10.1+dfsg-5
for package in *.deb; do dpkg-deb -x "$package" .; done
library=$(dirname "$(find . -name 'libgumbo.so.1' | head -1)")
cat >look.c <<'C'
#include <gumbo.h>
#include <stdio.h>

static void show(const GumboNode *node) {
  if (node->type == GUMBO_NODE_TEXT || node->type == GUMBO_NODE_WHITESPACE)
    for (const char *byte = node->v.text.text; *byte; byte++) printf("%02x ", (unsigned char)*byte);
  if (node->type != GUMBO_NODE_ELEMENT) return;
  for (unsigned index = 0; index < node->v.element.children.length; index++)
    show(node->v.element.children.data[index]);
}

int main(void) {
  const char *pages[] = {"x &#1114112; y", "x &#2147483647; y", "x &#2147483648; y", "x &#4294967295; y", "x &#4294967361; y"};
  for (int page = 0; page < 5; page++) {
    GumboOutput *output = gumbo_parse(pages[page]);
    show(output->root);
    printf("\n");
    gumbo_destroy_output(&kGumboDefaultOptions, output);
  }
}
C
cc -I usr/include look.c -o look -L "$library" -l:libgumbo.so.1
LD_LIBRARY_PATH=$library ./look | tee seen
diff - seen <<'SEEN'
78 20 ef bf bd 20 79 
78 20 ef bf bd 20 79 
78 20 
78 20 26 79 
78 20 41 20 79 
SEEN
