// OpenSSL's message digests (1.1 and 3).
#include <openssl/evp.h>
