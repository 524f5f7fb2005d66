/* TEST ONLY: a PKCS#11 module that, once it is initialised, tries to be root and to read what is root's.
   GREEDY_WANTED names the file that it wants, GREEDY_SAID the file in which it says how far it came. */
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

typedef unsigned long answer;
static struct { unsigned char version[2]; void *functions[68]; } list = { { 2, 40 } };

static answer not_supported(void) { return 0x54; }

static answer initialise(void *arguments)
{
    char found[64] = "nothing";
    int before = (int)geteuid(), became = setresuid(0, 0, 0) == 0 || setuid(0) == 0 || seteuid(0) == 0;
    FILE *wanted = fopen(getenv("GREEDY_WANTED"), "r"), *said = fopen(getenv("GREEDY_SAID"), "a");
    (void)arguments;
    if (wanted) { if (!fgets(found, sizeof found, wanted)) return 6; fclose(wanted); }
    if (said) { fprintf(said, "loaded by %d, became root: %d, read: %s\n", before, became, found); fclose(said); }
    return 6; /* CKR_FUNCTION_FAILED */
}

answer C_GetFunctionList(void **out)
{
    for (int i = 0; i < 68; i++) list.functions[i] = (void *)not_supported;
    list.functions[0] = (void *)initialise;
    *out = &list;
    return 0;
}
