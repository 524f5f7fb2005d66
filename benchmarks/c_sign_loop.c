/* The rate that a PKCS#11 module itself allows: one process, one login, C_SignInit and C_Sign in a loop.
 *
 * c_sign_loop MODULE LABEL PIN KEY_ID_HEX MECHANISM PAYLOAD_HEX SECONDS prints signatures a second.
 * Types are those of PKCS#11 3.1 on Unix; the function list is a version and 68 pointers.
 */
#include <dlfcn.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

typedef unsigned long ulong_t;
typedef ulong_t (*function_t)();
struct list { unsigned char version[2]; function_t functions[68]; };
struct attribute { ulong_t type; void *value; ulong_t length; };
struct mechanism { ulong_t mechanism; void *parameter; ulong_t length; };
struct arguments { void *callbacks[4]; ulong_t flags; void *reserved[2]; };

static void check(ulong_t answer, const char *what) {
    if (!answer) return;
    fprintf(stderr, "%s answered %#lx\n", what, answer);
    exit(1);
}

static size_t from_hex(const char *text, unsigned char *out) {
    size_t length = strlen(text) / 2;
    for (size_t i = 0; i < length; i++) {
        unsigned value;
        sscanf(text + 2 * i, "%2x", &value);
        out[i] = (unsigned char)value;
    }
    return length;
}

static double now(void) {
    struct timespec time;
    clock_gettime(CLOCK_MONOTONIC, &time);
    return time.tv_sec + time.tv_nsec / 1e9;
}

int main(int count, char **given) {
    if (count != 8) return 2;
    void *module = dlopen(given[1], RTLD_NOW);
    if (!module) return 3;
    struct list *p11;
    check(((function_t)dlsym(module, "C_GetFunctionList"))(&p11), "C_GetFunctionList");
    struct arguments arguments = {{0}, 2, {0}};
    check(p11->functions[0](&arguments), "C_Initialize");
    ulong_t slots[64], found = 64, session = 0, key = 0, slot = 0;
    check(p11->functions[4]((unsigned char)1, slots, &found), "C_GetSlotList");
    char info[4096];
    for (ulong_t i = 0; i < found; i++) {
        if (p11->functions[6](slots[i], info)) continue;
        if (strncmp(info, given[2], strlen(given[2])) == 0 && info[strlen(given[2])] == ' ') slot = slots[i];
    }
    check(p11->functions[12](slot, 4UL, NULL, NULL, &session), "C_OpenSession");
    check(p11->functions[18](session, 1UL, given[3], (ulong_t)strlen(given[3])), "C_Login");
    unsigned char id[64], payload[512], signature[65536];
    ulong_t class = 3, length = from_hex(given[6], payload);
    struct attribute wanted[] = {{0, &class, sizeof class}, {0x102, id, from_hex(given[4], id)}};
    check(p11->functions[26](session, wanted, 2UL), "C_FindObjectsInit");
    check(p11->functions[27](session, &key, 1UL, &found), "C_FindObjects");
    check(p11->functions[28](session), "C_FindObjectsFinal");
    if (found != 1) return 4;
    struct mechanism mechanism = {strtoul(given[5], NULL, 0), NULL, 0};
    double start = now(), end = start + atof(given[7]);
    ulong_t made = 0;
    do {
        ulong_t size = sizeof signature;
        check(p11->functions[42](session, &mechanism, key), "C_SignInit");
        check(p11->functions[43](session, payload, length, signature, &size), "C_Sign");
        made++;
    } while (now() < end);
    printf("%f\n", made / (now() - start));
    return 0;
}
