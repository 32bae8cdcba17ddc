/* A PKCS#11 module that lies on command, for tests.
 *
 * It passes everything on to the module named by LYING_REAL, except what the first word in the file
 * LYING_CONTROL tells it to spoil. A word that begins with "once-" is taken back after it was followed.
 * Calls of interest are appended to LYING_LOG, one name a line.
 */
#include <dlfcn.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

typedef unsigned long ulong;
typedef struct { ulong type; void *value; ulong length; } attribute;
typedef ulong (*any)();

/* CK_FUNCTION_LIST of PKCS#11 2.40: a version, then the functions in the order of the standard. */
enum {
    GET_FUNCTION_LIST = 3, GET_SLOT_LIST = 4, GET_TOKEN_INFO = 6, OPEN_SESSION = 12, CLOSE_ALL_SESSIONS = 14, LOGIN = 18,
    CREATE_OBJECT = 20, DESTROY_OBJECT = 22, GET_ATTRIBUTE_VALUE = 24, FIND_OBJECTS = 27, SIGN_INIT = 42, SIGN = 43,
    GENERATE_KEY_PAIR = 59, COUNT = 68
};
typedef struct { unsigned char major, minor; any f[COUNT]; } table;

static table real, ours;
static ulong slot, first_key;

static int lie(const char *wanted)
{
    char word[64] = "";
    const char *path = getenv("LYING_CONTROL");
    FILE *file = path ? fopen(path, "r") : NULL;
    if (!file)
        return 0;
    if (fscanf(file, "%63s", word) != 1)
        word[0] = 0;
    fclose(file);
    int once = strncmp(word, "once-", 5) == 0;
    int found = strcmp(once ? word + 5 : word, wanted) == 0;
    if (found && once && (file = fopen(path, "w")))
        fclose(file);
    return found;
}

static void note(const char *name)
{
    const char *path = getenv("LYING_LOG");
    FILE *file = path ? fopen(path, "a") : NULL;
    if (file) {
        fprintf(file, "%s\n", name);
        fclose(file);
    }
}

/* CKR_DEVICE_ERROR from the call with the number LYING_AT on, counting those that do something; or the call is made
 * first, with LYING_MADE. */
static int fails(void)
{
    static long at = -1, calls;
    const char *number = getenv("LYING_AT");
    if (at < 0)
        at = number ? atol(number) : 0;
    return at > 0 && ++calls >= at;
}

static ulong slot_list(unsigned char present, ulong *list, ulong *count)
{
    ulong rv = real.f[GET_SLOT_LIST](present, list, count);
    if (lie("slot-count"))
        *count = 1ul << 60;
    return rv;
}

/* CK_TOKEN_INFO: label 32, manufacturer 32, model 16, serial 16, then the flags; utcTime 16, last. */
static ulong token_info(ulong id, unsigned char *info)
{
    ulong rv = real.f[GET_TOKEN_INFO](id, info);
    slot = id;
    if (lie("serial") || lie("serial-and-dead"))
        memcpy(info + 80, "0123456789abcdef", 16);
    if (lie("clock-ahead")) {
        ulong flags;
        memcpy(&flags, info + 96, sizeof flags);
        flags |= 0x40;
        memcpy(info + 96, &flags, sizeof flags);
        memcpy(info + 188, "20990101000000", 14);
    }
    if (lie("final-try")) {
        ulong flags;
        memcpy(&flags, info + 96, sizeof flags);
        flags |= 0x20000;
        memcpy(info + 96, &flags, sizeof flags);
    }
    if (lie("escape"))
        memcpy(info + 32, "\033[2J", 4);
    return rv;
}

static ulong open_session(ulong id, ulong flags, void *application, void *notify, ulong *session)
{
    static int opened;
    note("C_OpenSession");
    /* CKR_DEVICE_ERROR; CKR_GENERAL_ERROR for all sessions but the first. */
    if (lie("no-session"))
        return 0x30;
    if (opened && lie("one-session"))
        return 0x5;
    opened = 1;
    return real.f[OPEN_SESSION](id, flags, application, notify, session);
}

static ulong login(ulong session, ulong user, unsigned char *pin, ulong length)
{
    note("C_Login");
    if (fails())
        return 0x30;
    /* For as long as it is told to. */
    while (lie("hang-login"))
        usleep(5000);
    if (lie("pin") || lie("dead-and-pin"))
        return 0xa0;
    if (lie("context-pin") && user == 2)
        return 0xa0;
    return real.f[LOGIN](session, user, pin, length);
}

static ulong get_attribute(ulong session, ulong object, attribute *template, ulong count)
{
    ulong rv = real.f[GET_ATTRIBUTE_VALUE](session, object, template, count);
    if (lie("attribute-length"))
        template[0].length = 1ul << 40;
    if (lie("attribute-unavailable"))
        template[0].length = ~0ul;
    if (template[0].length == 1 && template[0].value && lie("boolean-value"))
        *(unsigned char *)template[0].value = 2;
    if (template[0].length == 1 && lie("boolean-length"))
        template[0].length = 4;
    if (template[0].length == sizeof(ulong) && lie("number-length"))
        template[0].length = 3;
    /* CKA_EXTRACTABLE; then CKA_LOCAL, CKA_NEVER_EXTRACTABLE, CKA_ALWAYS_SENSITIVE. */
    for (ulong i = 0; i < count; i++) {
        ulong type = template[i].type;
        int is_boolean = template[i].value && template[i].length == 1;
        if (is_boolean && type == 0x162 && lie("extractable"))
            *(unsigned char *)template[i].value = 1;
        if (is_boolean && (type == 0x163 || type == 0x164 || type == 0x165) && lie("no-randomness"))
            *(unsigned char *)template[i].value = 1;
    }
    return rv;
}

static ulong find_objects(ulong session, ulong *objects, ulong room, ulong *count)
{
    ulong rv = real.f[FIND_OBJECTS](session, objects, room, count);
    if (lie("object-count"))
        *count = 1000000;
    if (*count == 1 && lie("duplicate")) {
        objects[1] = objects[0];
        *count = 2;
    }
    if (*count > 0 && lie("null-handle"))
        objects[0] = 0;
    if (lie("endless")) {
        for (ulong i = 0; i < room; i++)
            objects[i] = i + 1;
        *count = room;
    }
    return rv;
}

static ulong sign_init(ulong session, void *mechanism, ulong key)
{
    if (lie("removed-at-init"))
        return 0x32;
    if (lie("device-error-at-init"))
        return 0x30;
    if (lie("dead") || lie("serial-and-dead") || lie("dead-and-pin")) {
        real.f[CLOSE_ALL_SESSIONS](slot);
        return 0xb3;
    }
    if (!first_key)
        first_key = key;
    return real.f[SIGN_INIT](session, mechanism, lie("other-key") ? first_key : key);
}

static ulong sign(ulong session, void *data, ulong length, unsigned char *signature, ulong *size)
{
    note("C_Sign");
    if (fails()) {
        if (getenv("LYING_MADE"))
            real.f[SIGN](session, data, length, signature, size);
        return 0x30;
    }
    if (lie("removed"))
        return 0x32;
    if (lie("hang"))
        sleep(600);
    if (lie("crash"))
        abort();
    ulong rv = real.f[SIGN](session, data, length, signature, size);
    if (lie("short-signature"))
        *size = 10;
    if (lie("long-signature"))
        *size = 1ul << 40;
    if (lie("zero-signature"))
        memset(signature, 0, *size);
    return rv;
}

/* The P-256 key whose private number is 1, with the attributes that were asked for. */
static ulong create(ulong session, int private, attribute *asked, ulong n, ulong *object)
{
    static unsigned char number[32] = { [31] = 1 }, curve[] = "\x06\x08\x2a\x86\x48\xce\x3d\x03\x01\x07", point[] =
        "\x04\x41\x04\x6b\x17\xd1\xf2\xe1\x2c\x42\x47\xf8\xbc\xe6\xe5\x63\xa4\x40\xf2\x77\x03\x7d\x81\x2d\xeb\x33\xa0"
        "\xf4\xa1\x39\x45\xd8\x98\xc2\x96\x4f\xe3\x42\xe2\xfe\x1a\x7f\x9b\x8e\xe7\xeb\x4a\x7c\x0f\x9e\x16\x2b\xce\x33\x57"
        "\x6b\x31\x5e\xce\xcb\xb6\x40\x68\x37\xbf\x51\xf5";
    static ulong class, ec = 3;
    attribute all[64] = { { 0x0, &class, sizeof class }, { 0x100, &ec, sizeof ec } };
    ulong count = 2;
    class = private ? 3 : 2;
    all[count++] = (attribute){ private ? 0x11 : 0x181, private ? number : point, private ? 32 : sizeof point - 1 };
    if (private)
        all[count++] = (attribute){ 0x180, curve, sizeof curve - 1 };
    for (ulong i = 0; i < n && count < 64; i++)
        all[count++] = asked[i];
    return real.f[CREATE_OBJECT](session, all, count, object);
}

static ulong generate(ulong session, void *mechanism, void *public, ulong n, void *private, ulong m, ulong *p, ulong *q)
{
    note("C_GenerateKeyPair");
    if (fails()) {
        if (getenv("LYING_MADE"))
            real.f[GENERATE_KEY_PAIR](session, mechanism, public, n, private, m, p, q);
        return 0x30;
    }
    if (lie("no-randomness")) {
        ulong made = create(session, 0, public, n, p);
        return made ? made : create(session, 1, private, m, q);
    }
    ulong rv = real.f[GENERATE_KEY_PAIR](session, mechanism, public, n, private, m, p, q);
    /* It is made all the same. */
    return lie("made-but-failed") ? 0x5 : rv;
}

static ulong destroy(ulong session, ulong object)
{
    note("C_DestroyObject");
    if (fails()) {
        if (getenv("LYING_MADE"))
            real.f[DESTROY_OBJECT](session, object);
        return 0x30;
    }
    if (lie("not-destroyed"))
        return 0;
    /* CKR_ACTION_PROHIBITED, then CKR_DEVICE_REMOVED before and after it was done. */
    if (lie("prohibited"))
        return 0x1b;
    if (lie("removed-before"))
        return 0x32;
    if (lie("abort-before"))
        abort();
    ulong rv = real.f[DESTROY_OBJECT](session, object);
    if (lie("abort-after"))
        abort();
    return lie("removed-after") ? 0x32 : rv;
}

__attribute__((visibility("default"))) ulong C_GetFunctionList(table **list)
{
    const char *path = getenv("LYING_REAL");
    void *library = path ? dlopen(path, RTLD_NOW | RTLD_LOCAL) : NULL;
    any get = library ? (any)dlsym(library, "C_GetFunctionList") : NULL;
    table *found = NULL;
    if (!get || get(&found) != 0)
        return 0x5;
    real = ours = *found;
    ours.f[GET_SLOT_LIST] = (any)slot_list;
    ours.f[GET_TOKEN_INFO] = (any)token_info;
    ours.f[OPEN_SESSION] = (any)open_session;
    ours.f[LOGIN] = (any)login;
    ours.f[GET_ATTRIBUTE_VALUE] = (any)get_attribute;
    ours.f[FIND_OBJECTS] = (any)find_objects;
    ours.f[SIGN_INIT] = (any)sign_init;
    ours.f[SIGN] = (any)sign;
    ours.f[GENERATE_KEY_PAIR] = (any)generate;
    ours.f[DESTROY_OBJECT] = (any)destroy;
    *list = &ours;
    return 0;
}
