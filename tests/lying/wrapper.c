/* A PKCS#11 module that passes for hardware, for tests.
 *
 * It wraps the module named by WRAPPED_MODULE and calls itself and its tokens by other names. Files in the folder
 * WRAPPED_FOLDER change that: "model" and "firmware" make it another device, "validation" gives it a validation object,
 * "new.so" is put in the place of this module while it is being loaded, and "beside.so" is loaded with it. Logins are
 * counted in the file "logins" there.
 */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

typedef unsigned long ulong;
typedef struct { ulong type; void *value; ulong length; } attribute;
typedef ulong (*any)();

/* CK_FUNCTION_LIST of PKCS#11 2.40: a version, then the functions in the order of the standard. */
enum { GET_INFO = 2, GET_TOKEN_INFO = 6, LOGIN = 18, GET_ATTRIBUTE_VALUE = 24, FIND_INIT = 26, FIND = 27, FIND_FINAL = 28,
    COUNT = 68 };
typedef struct { unsigned char major, minor; any f[COUNT]; } table;

enum { OBJECT = 0xace };

static table real, ours;
static int looking, told;

static const char *in_folder(const char *name)
{
    static __thread char path[4096];
    const char *folder = getenv("WRAPPED_FOLDER");
    snprintf(path, sizeof path, "%s/%s", folder ? folder : "/nonexistent", name);
    return path;
}

static int is(const char *name)
{
    return access(in_folder(name), F_OK) == 0;
}

static void text(unsigned char *field, size_t size, const char *value)
{
    memset(field, ' ', size);
    memcpy(field, value, strlen(value));
}

static ulong get_info(unsigned char *info)
{
    ulong rv = real.f[GET_INFO](info);
    text(info + 2, 32, "Acme Devices");
    text(info + 48, 32, "Acme Cryptoki");
    return rv;
}

static ulong token_info(ulong slot, unsigned char *info)
{
    ulong rv = real.f[GET_TOKEN_INFO](slot, info);
    text(info + 32, 32, "Acme Devices");
    text(info + 64, 16, is("model") ? "Vault 8" : "Vault 7");
    info[186] = 7;
    info[187] = is("firmware") ? 9 : 3;
    return rv;
}

static ulong login(ulong session, ulong user, unsigned char *pin, ulong length)
{
    FILE *file = fopen(in_folder("logins"), "a");
    if (file) {
        fputs("login\n", file);
        fclose(file);
    }
    return real.f[LOGIN](session, user, pin, length);
}

static ulong find_init(ulong session, attribute *template, ulong count)
{
    for (ulong i = 0; i < count; i++) {
        if (template[i].type == 0 && template[i].length == sizeof(ulong) && *(ulong *)template[i].value == 10) {
            looking = 1;
            told = !is("validation");
            return 0;
        }
    }
    return real.f[FIND_INIT](session, template, count);
}

static ulong find(ulong session, ulong *objects, ulong room, ulong *count)
{
    if (!looking)
        return real.f[FIND](session, objects, room, count);
    *count = 0;
    if (!told && room > 0) {
        objects[0] = OBJECT;
        *count = 1;
    }
    told = 1;
    return 0;
}

static ulong find_final(ulong session)
{
    if (!looking)
        return real.f[FIND_FINAL](session);
    looking = 0;
    return 0;
}

static ulong get_attribute(ulong session, ulong object, attribute *template, ulong count)
{
    if (object != OBJECT)
        return real.f[GET_ATTRIBUTE_VALUE](session, object, template, count);
    for (ulong i = 0; i < count; i++) {
        static const char certificate[] = "4700";
        /* A validation of hardware, at level 3, by CMVP. */
        ulong number = template[i].type == 1567 ? 2 : template[i].type == 1569 ? 3 : 1;
        const void *value = template[i].type == 1574 ? (const void *)certificate : &number;
        ulong length = template[i].type == 1574 ? 4 : sizeof number;
        if (template[i].value && template[i].length >= length)
            memcpy(template[i].value, value, length);
        template[i].length = length;
    }
    return 0;
}

__attribute__((constructor)) static void loaded(void)
{
    Dl_info here;
    if (is("beside.so"))
        dlopen(in_folder("beside.so"), RTLD_NOW | RTLD_LOCAL);
    if (is("new.so") && dladdr((void *)loaded, &here))
        rename(in_folder("new.so"), here.dli_fname);
}

__attribute__((visibility("default"))) ulong C_GetFunctionList(table **list)
{
    const char *path = getenv("WRAPPED_MODULE");
    void *library = path ? dlopen(path, RTLD_NOW | RTLD_LOCAL) : NULL;
    any get = library ? (any)dlsym(library, "C_GetFunctionList") : NULL;
    table *found = NULL;
    if (!get || get(&found) != 0)
        return 0x5;
    real = ours = *found;
    ours.f[GET_INFO] = (any)get_info;
    ours.f[GET_TOKEN_INFO] = (any)token_info;
    ours.f[LOGIN] = (any)login;
    ours.f[GET_ATTRIBUTE_VALUE] = (any)get_attribute;
    ours.f[FIND_INIT] = (any)find_init;
    ours.f[FIND] = (any)find;
    ours.f[FIND_FINAL] = (any)find_final;
    *list = &ours;
    return 0;
}
