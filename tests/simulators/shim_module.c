/* A PKCS#11 module for tests: another module behind it, and trouble on command.
 *
 * SHIM_MODULE names the real module, SHIM_FOLDER a folder:
 *   calls        gets one line a call of a wrapped function, in one write, so it counts over all processes;
 *   <FUNCTION>   "SKIP TIMES ANSWER" in decimal: after SKIP good calls, TIMES calls answer ANSWER without reaching the
 *                module; ANSWER -1 hangs instead, -2 answers nothing ever again because the process dies (SIGSEGV),
 *                -3 signs but flips a bit;
 *   order        "reversed" when the module is initialised: tokens change their slot numbers among each other;
 *   yubihsm      CKA_ID may not be changed, and not be longer than 2 bytes;
 *   luna         Ed25519 has vendor numbers, and only those.
 *
 * Types are those of PKCS#11 3.1 on Unix; the function list is a version and 68 pointers.
 */
#include <dlfcn.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

typedef unsigned long ulong_t;
typedef ulong_t (*function_t)();
struct list { unsigned char version[2]; function_t functions[68]; };
struct attribute { ulong_t type; void *value; ulong_t length; };
struct mechanism { ulong_t mechanism; void *parameter; ulong_t length; };

enum { INITIALIZE = 0, GET_SLOT_LIST = 4, GET_TOKEN_INFO = 6, OPEN_SESSION = 12, LOGIN = 18, GET_ATTRIBUTES = 24,
       SET_ATTRIBUTES = 25, FIND_INIT = 26, SIGN_INIT = 42, SIGN = 43, GENERATE_PAIR = 59 };

static const ulong_t OK = 0, ATTRIBUTE_READ_ONLY = 0x10, ATTRIBUTE_VALUE_INVALID = 0x13, MECHANISM_INVALID = 0x70;
static const unsigned char LUNA_CURVE[] = {6, 9, 0x2b, 6, 1, 4, 1, 0xda, 0x47, 0x0f, 1};
static const unsigned char SOFTHSM_CURVE[] = "\x13\x0c" "edwards25519";

static struct list *real, ours;
static ulong_t slots[64], slot_count;

static void path_of(char *path, const char *name) { snprintf(path, 512, "%s/%s", getenv("SHIM_FOLDER"), name); }

static int is_set(const char *name) {
    char path[512];
    path_of(path, name);
    return access(path, F_OK) == 0;
}

/* Logs the call; returns what to answer instead of calling, or 0. */
static long trouble(const char *function) {
    char path[512], line[64];
    path_of(path, "calls");
    int log = open(path, O_WRONLY | O_APPEND | O_CREAT, 0600);
    int length = snprintf(line, sizeof line, "%s\n", function);
    if (write(log, line, length) != length) abort();
    close(log);
    path_of(path, function);
    FILE *file = fopen(path, "r+");
    if (!file) return 0;
    long skip = 0, times = 0, answer = 0;
    int read = fscanf(file, "%ld %ld %ld", &skip, &times, &answer);
    if (read != 3 || (skip <= 0 && times <= 0)) { fclose(file); return 0; }
    int now = skip <= 0;
    rewind(file);
    fprintf(file, "%ld %ld %ld          ", now ? skip : skip - 1, now ? times - 1 : times, answer);
    fclose(file);
    if (!now) return 0;
    if (answer == -1) for (;;) pause();
    if (answer == -2) raise(SIGSEGV);
    return answer;
}

#define ASK(name) do { long answer = trouble(name); if (answer > 0) return (ulong_t)answer; } while (0)

static ulong_t initialize(void *arguments) {
    ASK("C_Initialize");
    ulong_t answer = real->functions[INITIALIZE](arguments);
    if (answer) return answer;
    slot_count = 64;
    answer = real->functions[GET_SLOT_LIST](1, slots, &slot_count);
    /* An empty slot stays the last one; those in use change their numbers. */
    ulong_t used = slot_count ? slot_count - 1 : 0;
    char path[512], word[16] = "";
    path_of(path, "order");
    FILE *file = fopen(path, "r");
    if (file) { if (fscanf(file, "%15s", word) != 1) word[0] = 0; fclose(file); }
    if (strcmp(word, "reversed") == 0)
        for (ulong_t i = 0; i < used / 2; i++) {
            ulong_t other = slots[i];
            slots[i] = slots[used - 1 - i];
            slots[used - 1 - i] = other;
        }
    return answer;
}

static ulong_t get_slot_list(unsigned char present, ulong_t *list, ulong_t *count) {
    (void)present;
    ASK("C_GetSlotList");
    if (list) for (ulong_t i = 0; i < slot_count; i++) list[i] = i;
    *count = slot_count;
    return OK;
}

static ulong_t get_token_info(ulong_t slot, void *info) {
    ASK("C_GetTokenInfo");
    return real->functions[GET_TOKEN_INFO](slots[slot], info);
}

static ulong_t open_session(ulong_t slot, ulong_t flags, void *application, void *notify, ulong_t *session) {
    ASK("C_OpenSession");
    return real->functions[OPEN_SESSION](slots[slot], flags, application, notify, session);
}

static ulong_t login(ulong_t session, ulong_t user, void *pin, ulong_t length) {
    ASK("C_Login");
    return real->functions[LOGIN](session, user, pin, length);
}

static ulong_t find_init(ulong_t session, void *attributes, ulong_t count) {
    ASK("C_FindObjectsInit");
    return real->functions[FIND_INIT](session, attributes, count);
}

static ulong_t get_attributes(ulong_t session, ulong_t object, struct attribute *attributes, ulong_t count) {
    ASK("C_GetAttributeValue");
    ulong_t answer = real->functions[GET_ATTRIBUTES](session, object, attributes, count);
    if (answer || !is_set("luna") || count != 1) return answer;
    if (attributes->type == 0x100 && attributes->value && *(ulong_t *)attributes->value == 0x40)
        *(ulong_t *)attributes->value = 0x80000012;
    if (attributes->type == 0x180 && attributes->length == sizeof SOFTHSM_CURVE - 1) {
        if (attributes->value && memcmp(attributes->value, SOFTHSM_CURVE, sizeof SOFTHSM_CURVE - 1)) return OK;
        if (attributes->value) memcpy(attributes->value, LUNA_CURVE, sizeof LUNA_CURVE);
        if (attributes->value) attributes->length = sizeof LUNA_CURVE;
    }
    return OK;
}

static ulong_t check_ids(struct attribute *attributes, ulong_t count) {
    for (ulong_t i = 0; i < count; i++)
        if (is_set("yubihsm") && attributes[i].type == 0x102 && attributes[i].length > 2) return ATTRIBUTE_VALUE_INVALID;
    return OK;
}

static ulong_t set_attributes(ulong_t session, ulong_t object, struct attribute *attributes, ulong_t count) {
    ASK("C_SetAttributeValue");
    if (is_set("yubihsm")) return ATTRIBUTE_READ_ONLY;
    return real->functions[SET_ATTRIBUTES](session, object, attributes, count);
}

/* What the module behind calls a mechanism, or a number that nobody has. */
static ulong_t number(ulong_t mechanism) {
    if (!is_set("luna")) return mechanism;
    switch (mechanism) {
        case 0x80000C01: return 0x1055;
        case 0x80000C03: return 0x1057;
        case 0x1055: case 0x1057: return 0x7fffffff;
        default: return mechanism;
    }
}

static ulong_t generate(ulong_t session, struct mechanism *wanted, struct attribute *public, ulong_t publics,
                        struct attribute *private, ulong_t privates, ulong_t *first, ulong_t *second) {
    ASK("C_GenerateKeyPair");
    struct mechanism mechanism = *wanted;
    mechanism.mechanism = number(wanted->mechanism);
    if (mechanism.mechanism == 0x7fffffff) return MECHANISM_INVALID;
    ulong_t answer = check_ids(public, publics) ? check_ids(public, publics) : check_ids(private, privates);
    if (answer) return answer;
    struct attribute copy[32];
    if (publics > 32) return ATTRIBUTE_VALUE_INVALID;
    memcpy(copy, public, publics * sizeof *copy);
    for (ulong_t i = 0; is_set("luna") && i < publics; i++)
        if (copy[i].type == 0x180 && copy[i].length == sizeof LUNA_CURVE
            && memcmp(copy[i].value, LUNA_CURVE, sizeof LUNA_CURVE) == 0) {
            copy[i].value = (void *)SOFTHSM_CURVE;
            copy[i].length = sizeof SOFTHSM_CURVE - 1;
        }
    return real->functions[GENERATE_PAIR](session, &mechanism, copy, publics, private, privates, first, second);
}

static ulong_t sign_init(ulong_t session, struct mechanism *wanted, ulong_t key) {
    ASK("C_SignInit");
    struct mechanism mechanism = *wanted;
    mechanism.mechanism = number(wanted->mechanism);
    if (mechanism.mechanism == 0x7fffffff) return MECHANISM_INVALID;
    return real->functions[SIGN_INIT](session, &mechanism, key);
}

static ulong_t sign(ulong_t session, void *data, ulong_t length, unsigned char *signature, ulong_t *signature_length) {
    long answer = trouble("C_Sign");
    if (answer > 0) return (ulong_t)answer;
    ulong_t made = real->functions[SIGN](session, data, length, signature, signature_length);
    if (answer == -3 && !made && signature) signature[8] ^= 1;
    if (answer == -4 && !made) *signature_length = 70000;
    return made;
}

ulong_t C_GetFunctionList(struct list **list) {
    void *module = dlopen(getenv("SHIM_MODULE"), RTLD_NOW | RTLD_LOCAL);
    if (!module) return 5;
    function_t get = (function_t)dlsym(module, "C_GetFunctionList");
    if (!get || get(&real)) return 5;
    ours = *real;
    ours.functions[INITIALIZE] = (function_t)initialize;
    ours.functions[GET_SLOT_LIST] = (function_t)get_slot_list;
    ours.functions[GET_TOKEN_INFO] = (function_t)get_token_info;
    ours.functions[OPEN_SESSION] = (function_t)open_session;
    ours.functions[LOGIN] = (function_t)login;
    ours.functions[GET_ATTRIBUTES] = (function_t)get_attributes;
    ours.functions[SET_ATTRIBUTES] = (function_t)set_attributes;
    ours.functions[FIND_INIT] = (function_t)find_init;
    ours.functions[SIGN_INIT] = (function_t)sign_init;
    ours.functions[SIGN] = (function_t)sign;
    ours.functions[GENERATE_PAIR] = (function_t)generate;
    *list = &ours;
    return OK;
}
