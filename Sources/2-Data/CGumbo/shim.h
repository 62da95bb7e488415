// Gumbo's parser of HTML and the tree it makes.
#include <gumbo.h>
