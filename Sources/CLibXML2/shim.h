// libxml2's HTML parser and the tree it makes.
#include <libxml/xmlversion.h>
// Debian's headers draw in the system's ICU for one private field; its types clash with those of Foundation's own ICU.
#undef LIBXML_ICU_ENABLED
#include <libxml/HTMLparser.h>
#include <libxml/parser.h>
#include <libxml/parserInternals.h>
#include <libxml/tree.h>
