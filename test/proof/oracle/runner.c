/*
 * Runs traces of operations on libssl and prints what it observes: see PROTOCOL.md, the contract of this program.
 *
 * Built as a program (main) or, with -DRUNNER_ADDON, as a Node addon that drives the libssl inside the Node binary.
 * Where the model departs from libssl on purpose, the departure is made here, marked D1, D2, D6 and D8.
 */
#define OPENSSL_SUPPRESS_DEPRECATED
#include <openssl/ec.h>
#include <openssl/err.h>
#include <openssl/evp.h>
#include <openssl/lhash.h>
#include <openssl/rand.h>
#include <openssl/ssl.h>
#include <openssl/x509.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* What 1.1.1 has under another name, or not at all. */
#if OPENSSL_VERSION_NUMBER < 0x30000000L
# define SSL_OP_ALLOW_CLIENT_RENEGOTIATION 0x100
static int SSL_new_session_ticket(SSL *ssl)
{
    (void)ssl;
    return 0;
}
#endif

extern int64_t sslctx_clock_ms;

enum { SERVER, CLIENT, SWITCHED };

#define CONNECTIONS 8
#define CLOCK_START 1700000000000
#define POINTER_SLOTS (1 << 16)
/* The SSL_OP bits that PROTOCOL.md lets a trace see. */
#define VISIBLE_OPTIONS 0x01114181UL

/* ---- sessions and their names ---- */

typedef struct {
    SSL_SESSION *session;
    int resumable;
    long time, timeout;
    unsigned char id[32];
    unsigned int id_len;
} Named;

typedef struct {
    Named *item;
    int count, room;
} NameList;

typedef struct {
    const SSL_SESSION *session;
    int side, index;
} Slot;

/* The external store of a context: id to object and encoding. */
typedef struct {
    unsigned char id[32];
    unsigned int id_len;
    SSL_SESSION *session;
    unsigned char *der;
    int der_len;
} Stored;

typedef struct {
    SSL_CTX *ctx;
    int new_mode, get_mode;
    Stored *stored;
    int stored_count;
    int last_stats[12];
    char *last_cache;
} Context;

/* REPLACED: SSL_set_session on a live connection has reset its method and version, or a flight was lost; only its end is of interest. */
/*
 * STUCK: SSL_clear failed, within a renegotiation, or an extra ticket could not be issued. SSL_clear would keep the
 * request for it, and the next handshake write its tickets too early, with empty ids. Only the end of such a
 * connection is of interest.
 */
typedef enum { FRESH, ESTABLISHED, FAILED, REPLACED, STUCK } State;

typedef struct {
    SSL *ssl[2];
    BIO *in[2];
    State state;
    int done[2], failed[2];
    unsigned char psk[32];
    int psk_len;
    /* An alert that arrives in the next handshake in place of a flight: see PROTOCOL.md. */
    struct {
        int is_set, side;
        unsigned char level, description;
    } cut;
    /* Whether early data are to be written, and whether the server still awaits their end. */
    int writes_early, reads_early;
    /* SSL_clear keeps the context of the request, in which libssl then finds no answer to another one. */
    int has_authenticated;
} Connection;

static NameList names[2];
static Slot slots[POINTER_SLOTS];
static SSL_SESSION **kept;
static int kept_count;
/* SWITCHED is what SSL_set_SSL_CTX gives a server in place of the context that it was made from. */
static Context contexts[3];
static int shared;
/* Which callback of a ClientHello switches. */
static enum { SWITCH_NEVER, SWITCH_ON_HELLO, SWITCH_ON_NAME, REFUSE_NAME, WARN_OF_NAME, WITHOUT_TICKET } switching;
/* What the decrypt-ticket callback of SERVER says: see PROTOCOL.md. */
static int decrypting;
static Connection connections[CONNECTIONS];
static Connection *current_server;
static SSL_SESSION *get_answer;
static uint64_t prng;
static int collide_left;
static EVP_PKEY *key;
static X509 *cert;

static void die(const char *what)
{
    fprintf(stderr, "runner: %s\n", what);
    ERR_print_errors_fp(stderr);
    exit(2);
}

static void print_hex(const unsigned char *bytes, size_t len)
{
    static const char digits[] = "0123456789abcdef";
    size_t i;

    if (len == 0)
        putchar('-');
    for (i = 0; i < len; i++) {
        putchar(digits[bytes[i] >> 4]);
        putchar(digits[bytes[i] & 15]);
    }
}

static void print_der(SSL_SESSION *session)
{
    unsigned char *der = NULL;
    int len = i2d_SSL_SESSION(session, &der);

    if (len <= 0) {
        putchar('-');
        return;
    }
    print_hex(der, (size_t)len);
    OPENSSL_free(der);
}

static Slot *slot_of(const SSL_SESSION *session)
{
    size_t at = ((uintptr_t)session >> 4) * 2654435761u % POINTER_SLOTS;

    while (slots[at].session != NULL && slots[at].session != session)
        at = (at + 1) % POINTER_SLOTS;
    return &slots[at];
}

/* Names a session when it is first seen, and keeps it, so that its address stays its own. */
static Slot *name(int side, SSL_SESSION *session)
{
    Slot *slot = slot_of(session);
    NameList *list = &names[side];

    if (slot->session != NULL)
        return slot;
    if (list->count == list->room) {
        list->room = list->room * 2 + 64;
        list->item = realloc(list->item, sizeof(Named) * (size_t)list->room);
    }
    SSL_SESSION_up_ref(session);
    memset(&list->item[list->count], 0, sizeof(Named));
    list->item[list->count].session = session;
    list->item[list->count].resumable = -1;
    slot->session = session;
    slot->side = side;
    slot->index = list->count++;
    return slot;
}

static void print_name(const Slot *slot)
{
    printf("%c%d", slot->side == SERVER ? 's' : 'c', slot->index);
}

static const char *ctx_letter(const SSL_CTX *ctx)
{
    return ctx == contexts[SERVER].ctx ? "S" : ctx == contexts[CLIENT].ctx ? "C" : "T";
}

/* The context that it was made from, whose callbacks these are: SSL_get_SSL_CTX tells the one that it has now. */
static Context *context_of(const SSL *ssl)
{
    return SSL_is_server(ssl) || shared ? &contexts[SERVER] : &contexts[CLIENT];
}

static Connection *connection_of(const SSL *ssl)
{
    return SSL_get_app_data(ssl);
}

static int number_of(const Connection *connection)
{
    return (int)(connection - connections);
}

/* ---- the internal cache, seen from outside ---- */

typedef struct {
    SSL_SESSION **item;
    int count, room;
} SessionList;

static void collect(void *session, void *list_)
{
    SessionList *list = list_;

    if (list->count == list->room) {
        list->room = list->room * 2 + 64;
        list->item = realloc(list->item, sizeof(SSL_SESSION *) * (size_t)list->room);
    }
    list->item[list->count++] = session;
}

static SessionList cached(SSL_CTX *ctx)
{
    static SessionList list;

    list.count = 0;
    OPENSSL_LH_doall_arg((OPENSSL_LHASH *)SSL_CTX_sessions(ctx), collect, &list);
    return list;
}

static int has_id(const SSL_SESSION *session, const unsigned char *id, size_t len)
{
    unsigned int own_len;
    const unsigned char *own = SSL_SESSION_get_id(session, &own_len);

    return own_len == len && memcmp(own, id, len) == 0;
}

static SSL_SESSION *find_cached(SSL_CTX *ctx, int version, const unsigned char *id, size_t len)
{
    SessionList list = cached(ctx);
    int i;

    for (i = 0; i < list.count; i++)
        if (SSL_SESSION_get_protocol_version(list.item[i]) == version && has_id(list.item[i], id, len))
            return list.item[i];
    return NULL;
}

/* The first named session, in name order, that is in the cache with this version and a 32-byte id. */
static const unsigned char *id_in_cache(SSL *ssl)
{
    SSL_CTX *ctx = contexts[SERVER].ctx;
    int i;

    for (i = 0; i < names[SERVER].count; i++) {
        SSL_SESSION *session = names[SERVER].item[i].session;
        unsigned int len;
        const unsigned char *id = SSL_SESSION_get_id(session, &len);

        if (len == 32 && SSL_SESSION_get_protocol_version(session) == SSL_version(ssl)
            && find_cached(ctx, SSL_version(ssl), id, len) != NULL)
            return id;
    }
    return NULL;
}

/* ---- random numbers: the same in every run ---- */

static uint64_t next_random(void)
{
    uint64_t z = (prng += 0x9e3779b97f4a7c15u);

    z = (z ^ (z >> 30)) * 0xbf58476d1ce4e5b9u;
    z = (z ^ (z >> 27)) * 0x94d049bb133111ebu;
    return z ^ (z >> 31);
}

static void fill_random(unsigned char *out, size_t len)
{
    size_t i;

    for (i = 0; i < len; i++)
        out[i] = (unsigned char)next_random();
}

/*
 * Whether the server is drawing a session id now, for which `collide` puts one that is taken. In TLS 1.2 it has no
 * session at that moment, but has one when it draws its random.
 */
static int is_drawing_id(SSL *ssl)
{
    OSSL_HANDSHAKE_STATE state = SSL_get_state(ssl);

    return (state == TLS_ST_SR_CLNT_HELLO && SSL_version(ssl) == TLS1_2_VERSION && SSL_get_session(ssl) == NULL)
           || (state == TLS_ST_SW_SESSION_TICKET && SSL_version(ssl) == TLS1_3_VERSION);
}

static int random_bytes(unsigned char *out, int len)
{
    const unsigned char *id;

    fill_random(out, (size_t)len);
    if (len == 32 && collide_left > 0 && current_server != NULL && is_drawing_id(current_server->ssl[SERVER])
        && (id = id_in_cache(current_server->ssl[SERVER])) != NULL) {
        memcpy(out, id, 32);
        collide_left--;
        printf("id %d 0 ", number_of(current_server));
        print_hex(id, 32);
        putchar('\n');
    }
    return 1;
}

static int random_status(void)
{
    return 1;
}

static RAND_METHOD random_method = { NULL, random_bytes, NULL, NULL, random_bytes, random_status };

/* ---- callbacks ---- */

static void store(Context *context, SSL_SESSION *session)
{
    unsigned int len;
    const unsigned char *id = SSL_SESSION_get_id(session, &len);
    Stored *entry = NULL;
    int i;

    for (i = 0; i < context->stored_count && entry == NULL; i++)
        if (context->stored[i].id_len == len && memcmp(context->stored[i].id, id, len) == 0)
            entry = &context->stored[i];
    if (entry == NULL) {
        context->stored = realloc(context->stored, sizeof(Stored) * (size_t)(context->stored_count + 1));
        entry = &context->stored[context->stored_count++];
        memcpy(entry->id, id, len);
        entry->id_len = len;
    } else
        OPENSSL_free(entry->der);
    entry->session = session; /* named, hence kept */
    entry->der = NULL;
    entry->der_len = i2d_SSL_SESSION(session, &entry->der);
}

static int on_new(SSL *ssl, SSL_SESSION *session)
{
    Context *context = context_of(ssl);

    printf("new %s ", ctx_letter(context->ctx));
    print_name(name(SSL_is_server(ssl) ? SERVER : CLIENT, session));
    putchar(' ');
    print_der(session);
    putchar('\n');
    if (context->new_mode & 4)
        store(context, session);
    if ((context->new_mode & 3) != 2)
        return 0;
    kept = realloc(kept, sizeof(*kept) * (size_t)(kept_count + 1));
    kept[kept_count++] = session;
    return 1;
}

static void on_remove(SSL_CTX *ctx, SSL_SESSION *session)
{
    printf("rem %s ", ctx_letter(ctx));
    print_name(name(ctx == contexts[CLIENT].ctx && !shared ? CLIENT : SERVER, session));
    puts(SSL_SESSION_is_resumable(session) ? " R" : " N");
}

static SSL_SESSION *answer_get(Context *context, const unsigned char *id, int len, int *copy)
{
    const unsigned char *der;
    int i;

    *copy = 1;
    if (context->get_mode == 4) {
        for (i = 0; i < names[SERVER].count; i++)
            if (!has_id(names[SERVER].item[i].session, id, (size_t)len))
                return names[SERVER].item[i].session;
        return NULL;
    }
    for (i = 0; context->get_mode != 3 && i < context->stored_count; i++) {
        if (context->stored[i].id_len != (unsigned int)len || memcmp(context->stored[i].id, id, (size_t)len) != 0)
            continue;
        if (context->get_mode == 1)
            return context->stored[i].session;
        *copy = 0;
        der = context->stored[i].der;
        return d2i_SSL_SESSION(NULL, &der, context->stored[i].der_len);
    }
    return NULL;
}

/* D2, for libssl before NORES: the id of a session that it has blanked, perhaps in the cache, is put back. */
static void put_id_back(Named *named)
{
    unsigned int len;
    const unsigned char *id = SSL_SESSION_get_id(named->session, &len);

    if (len == 0 && named->id_len > 0) {
        SSL_SESSION_set1_id(named->session, named->id, named->id_len);
        return;
    }
    memcpy(named->id, id, len);
    named->id_len = len;
}

/* The same before libssl gets a session of that id: it would have both in its list, and one of them nowhere else. */
static void put_ids_back(const unsigned char *id, unsigned int len)
{
    int side, i;

    for (side = SERVER; side <= CLIENT; side++)
        for (i = 0; i < names[side].count; i++) {
            Named *named = &names[side].item[i];

            if (named->id_len == len && memcmp(named->id, id, len) == 0)
                put_id_back(named);
        }
}

static SSL_SESSION *on_get(SSL *ssl, const unsigned char *id, int len, int *copy)
{
    Context *context = context_of(ssl);
    SSL_SESSION *session = answer_get(context, id, len, copy);

    printf("get %s ", ctx_letter(context->ctx));
    print_hex(id, (size_t)len);
    fputs(" -> ", stdout);
    if (session == NULL) {
        puts("none");
        return NULL;
    }
    print_name(name(SERVER, session));
    putchar('\n');
    put_ids_back(id, (unsigned int)len);
    /* D8: a session of another id, or in TLS 1.3 of another version, is not handed to libssl. */
    if (!has_id(session, id, (size_t)len)
        || (SSL_version(ssl) == TLS1_3_VERSION && SSL_SESSION_get_protocol_version(session) != TLS1_3_VERSION)) {
        if (!*copy)
            SSL_SESSION_free(session);
        return NULL;
    }
    get_answer = session;
    return session;
}

static int generate_id(int mode, SSL *ssl, unsigned char *id, unsigned int *len)
{
    static const unsigned int lengths[] = { 0, 32, 8, 0, 32, 33, 32, 1 };
    const unsigned char *taken = mode == 6 ? id_in_cache(ssl) : NULL;

    *len = lengths[mode];
    if (mode != 3 && mode != 4 && mode != 5)
        fill_random(id, *len);
    if (taken != NULL)
        memcpy(id, taken, 32);
    printf("id %d %d ", number_of(connection_of(ssl)), mode);
    print_hex(id, mode == 3 || mode == 4 || mode == 5 ? 0 : *len);
    putchar('\n');
    return mode != 4;
}

#define GENERATOR(mode)                                                                \
    static int generate_id_##mode(SSL *ssl, unsigned char *id, unsigned int *len)      \
    {                                                                                  \
        return generate_id(mode, ssl, id, len);                                        \
    }
GENERATOR(1)
GENERATOR(2)
GENERATOR(3)
GENERATOR(4)
GENERATOR(5)
GENERATOR(6)
GENERATOR(7)
static const GEN_SESSION_CB generators[] = { NULL, generate_id_1, generate_id_2, generate_id_3,
                                             generate_id_4, generate_id_5, generate_id_6, generate_id_7 };

static int not_resumable_0(SSL *ssl, int forward_secure)
{
    (void)ssl, (void)forward_secure;
    return 0;
}

static int not_resumable_1(SSL *ssl, int forward_secure)
{
    (void)ssl, (void)forward_secure;
    return 1;
}

static int on_hello(SSL *ssl, int *alert, void *arg)
{
    (void)alert, (void)arg;
    if (switching == SWITCH_ON_HELLO)
        SSL_set_SSL_CTX(ssl, contexts[SWITCHED].ctx);
    return SSL_CLIENT_HELLO_SUCCESS;
}

static int on_servername(SSL *ssl, int *alert, void *arg)
{
    (void)arg;
    if (SSL_is_server(ssl) && switching == SWITCH_ON_NAME)
        SSL_set_SSL_CTX(ssl, contexts[SWITCHED].ctx);
    if (SSL_is_server(ssl) && switching == WITHOUT_TICKET)
        SSL_set_options(ssl, SSL_OP_NO_TICKET);
    *alert = SSL_AD_UNRECOGNIZED_NAME;
    if (!SSL_is_server(ssl))
        return SSL_TLSEXT_ERR_NOACK;
    return switching == REFUSE_NAME ? SSL_TLSEXT_ERR_ALERT_FATAL
           : switching == WARN_OF_NAME ? SSL_TLSEXT_ERR_ALERT_WARNING : SSL_TLSEXT_ERR_NOACK;
}

static int on_ticket(SSL *ssl, void *arg)
{
    (void)arg;
    printf("tick %d ", number_of(connection_of(ssl)));
    print_der(SSL_get_session(ssl));
    putchar('\n');
    return 1;
}

/*
 * The decrypt-ticket callback: 0 says what libssl would do without one; 1 use, 2 use and renew, 3 ignore, 4 ignore and
 * renew. A ticket that is empty or cannot be decrypted leads to what it would lead to without one.
 */
static SSL_TICKET_RETURN on_decrypt(SSL *ssl, SSL_SESSION *session, const unsigned char *name_, size_t len,
                                    SSL_TICKET_STATUS status, void *arg)
{
    static const SSL_TICKET_RETURN answers[] = { SSL_TICKET_RETURN_USE, SSL_TICKET_RETURN_USE,
                                                 SSL_TICKET_RETURN_USE_RENEW, SSL_TICKET_RETURN_IGNORE,
                                                 SSL_TICKET_RETURN_IGNORE_RENEW };

    (void)ssl, (void)session, (void)name_, (void)len, (void)arg;
    if (status != SSL_TICKET_SUCCESS && status != SSL_TICKET_SUCCESS_RENEW)
        return SSL_TICKET_RETURN_IGNORE_RENEW;
    if (decrypting == 0 && status == SSL_TICKET_SUCCESS_RENEW)
        return SSL_TICKET_RETURN_USE_RENEW;
    return answers[decrypting];
}

/* The ticket key callback of a server that has no key: see PROTOCOL.md. */
#if OPENSSL_VERSION_NUMBER < 0x30000000L
static int on_ticket_key(SSL *ssl, unsigned char *name_, unsigned char *iv, EVP_CIPHER_CTX *cipher, HMAC_CTX *mac, int seal)
#else
static int on_ticket_key(SSL *ssl, unsigned char *name_, unsigned char *iv, EVP_CIPHER_CTX *cipher, EVP_MAC_CTX *mac, int seal)
#endif
{
    (void)ssl, (void)name_, (void)iv, (void)cipher, (void)mac, (void)seal;
    return 0;
}

static void set_ticket_key_callback(SSL_CTX *ctx, int is_set)
{
#if OPENSSL_VERSION_NUMBER < 0x30000000L
    SSL_CTX_set_tlsext_ticket_key_cb(ctx, is_set ? on_ticket_key : NULL);
#else
    SSL_CTX_set_tlsext_ticket_key_evp_cb(ctx, is_set ? on_ticket_key : NULL);
#endif
}

/* What a ClientHello offers: legacy session id, session_ticket, first PSK identity and its age. */
static void on_client_hello(Connection *connection, const unsigned char *hello, size_t len)
{
    const unsigned char *at = hello + 34, *end = hello + len;
    const unsigned char *ticket = NULL, *psk = NULL;
    size_t ticket_len = 0, psk_len = 0;
    unsigned long age = 0;

    printf("hello %d ", number_of(connection));
    print_hex(at + 1, *at);
    at += 1 + *at;
    at += 2 + (at[0] << 8 | at[1]);
    at += 1 + *at;
    for (at += 2; at + 4 <= end; at += 4 + (at[2] << 8 | at[3])) {
        if (at[1] == 35 && at[0] == 0) {
            ticket = at + 4;
            ticket_len = (size_t)(at[2] << 8 | at[3]);
        } else if (at[1] == 41 && at[0] == 0) {
            psk_len = (size_t)(at[6] << 8 | at[7]);
            psk = at + 8;
            age = (unsigned long)psk[psk_len] << 24 | (unsigned long)psk[psk_len + 1] << 16
                  | (unsigned long)psk[psk_len + 2] << 8 | psk[psk_len + 3];
        }
    }
    putchar(' ');
    if (ticket == NULL)
        fputs("none", stdout);
    else
        print_hex(ticket, ticket_len);
    putchar(' ');
    if (psk == NULL)
        fputs("none", stdout);
    else {
        print_hex(psk, psk_len);
        printf(":%lu", age);
    }
    putchar('\n');
    connection->psk_len = psk_len == 32 ? 32 : 0;
    if (psk_len == 32)
        memcpy(connection->psk, psk, 32);
}

static void on_message(int written, int version, int type, const void *message, size_t len, SSL *ssl, void *arg)
{
    const unsigned char *bytes = message;
    Connection *connection = arg;
    int side = SSL_is_server(ssl) ? SERVER : CLIENT;

    (void)version;
    if (type == SSL3_RT_ALERT)
        printf("%s %d %c %d %d\n", written ? "alert" : "recv", number_of(connection), side == SERVER ? 's' : 'c',
               bytes[0], bytes[1]);
    else if (type == SSL3_RT_HANDSHAKE && side == CLIENT && written && bytes[0] == SSL3_MT_CLIENT_HELLO)
        on_client_hello(connection, bytes + 4, len - 4);
    else if (type == SSL3_RT_HANDSHAKE && side == CLIENT && !written && bytes[0] == SSL3_MT_NEWSESSION_TICKET) {
        printf("nst %d ", number_of(connection));
        print_hex(bytes + 4, len - 4);
        putchar('\n');
    }
}

/* ---- contexts ---- */

/* Whether the libssl that runs is of a branch at or after this release of it, or of a later branch. */
static int is_since(int major, int minor, int patch)
{
    unsigned long version = OpenSSL_version_num();

    return (version >> 28) > (unsigned long)major
           || ((version >> 28) == (unsigned long)major
               && ((version >> 20 & 0xff) > (unsigned long)minor
                   || ((version >> 20 & 0xff) == (unsigned long)minor && (version >> 4 & 0xff) >= (unsigned long)patch)));
}

/* D1: since EVICT-FIRST, libssl keeps one session less than it was told. */
static long libssl_size(long size)
{
    return size >= 1 && is_since(3, 0, 6) ? size + 1 : size;
}

static long own_size(long size)
{
    return size >= 1 && is_since(3, 0, 6) ? size - 1 : size;
}

static void make_certificate(void)
{
    EVP_PKEY_CTX *making = EVP_PKEY_CTX_new_id(EVP_PKEY_EC, NULL);

    if (making == NULL || EVP_PKEY_keygen_init(making) <= 0
        || EVP_PKEY_CTX_set_ec_paramgen_curve_nid(making, NID_X9_62_prime256v1) <= 0
        || EVP_PKEY_keygen(making, &key) <= 0)
        die("no key");
    EVP_PKEY_CTX_free(making);
    cert = X509_new();
    if (cert == NULL)
        die("no certificate");
    ASN1_INTEGER_set(X509_get_serialNumber(cert), 1);
    ASN1_TIME_set_string(X509_getm_notBefore(cert), "20000101000000Z");
    ASN1_TIME_set_string(X509_getm_notAfter(cert), "20491231235959Z");
    X509_set_pubkey(cert, key);
    X509_NAME_add_entry_by_txt(X509_get_subject_name(cert), "CN", MBSTRING_ASC, (const unsigned char *)"test", -1, -1, 0);
    X509_set_issuer_name(cert, X509_get_subject_name(cert));
    if (!X509_sign(cert, key, EVP_sha256()))
        die("no certificate");
}

static void set_suites(SSL_CTX *ctx, int which)
{
    static const char *const tls12[] = { "ECDHE-ECDSA-AES256-GCM-SHA384:ECDHE-ECDSA-AES128-GCM-SHA256",
                                         "ECDHE-ECDSA-AES128-GCM-SHA256", "ECDHE-ECDSA-AES256-GCM-SHA384",
                                         "ECDHE-ECDSA-AES128-GCM-SHA256", "ECDHE-ECDSA-AES128-GCM-SHA256" };
    static const char *const tls13[] = { "TLS_AES_256_GCM_SHA384:TLS_AES_128_GCM_SHA256", "TLS_AES_128_GCM_SHA256",
                                         "TLS_AES_256_GCM_SHA384", "TLS_CHACHA20_POLY1305_SHA256",
                                         "TLS_AES_128_CCM_SHA256" };

    if (!SSL_CTX_set_cipher_list(ctx, tls12[which]) || !SSL_CTX_set_ciphersuites(ctx, tls13[which]))
        die("no cipher suites");
}

static const char *const groups[] = { "X25519:P-256", "P-256" };

static void set_groups(SSL_CTX *ctx, int which)
{
    if (!SSL_CTX_set1_groups_list(ctx, groups[which]))
        die("no groups");
}

static void make_context(Context *context)
{
    unsigned char ticket_keys[80];
    size_t i;

    memset(context, 0, sizeof(*context));
    memset(context->last_stats, -1, sizeof(context->last_stats));
    context->ctx = SSL_CTX_new(TLS_method());
    for (i = 0; i < sizeof(ticket_keys); i++)
        ticket_keys[i] = (unsigned char)i;
    if (context->ctx == NULL || !SSL_CTX_use_certificate(context->ctx, cert)
        || !SSL_CTX_use_PrivateKey(context->ctx, key)
        || !SSL_CTX_set_tlsext_ticket_keys(context->ctx, ticket_keys, sizeof(ticket_keys)))
        die("no context");
    SSL_CTX_set_min_proto_version(context->ctx, TLS1_2_VERSION);
    SSL_CTX_set_options(context->ctx, SSL_OP_ALLOW_CLIENT_RENEGOTIATION);
    SSL_CTX_sess_set_cache_size(context->ctx, libssl_size(SSL_SESSION_CACHE_MAX_SIZE_DEFAULT));
    SSL_CTX_set_session_ticket_cb(context->ctx, on_ticket, on_decrypt, NULL);
    SSL_CTX_set_client_hello_cb(context->ctx, on_hello, NULL);
    SSL_CTX_set_tlsext_servername_callback(context->ctx, on_servername);
    set_suites(context->ctx, 0);
    set_groups(context->ctx, 0);
}

static void free_connection(Connection *connection)
{
    SSL_free(connection->ssl[CLIENT]);
    SSL_free(connection->ssl[SERVER]);
    memset(connection, 0, sizeof(*connection));
}

/* As at the end of a process: connections first, then contexts, whose remove callbacks hear of what is left. */
static void free_all(void)
{
    int i;

    for (i = 0; i < CONNECTIONS; i++)
        if (connections[i].ssl[SERVER] != NULL)
            free_connection(&connections[i]);
    for (i = SERVER; i <= SWITCHED; i++) {
        if (i != CLIENT || !shared)
            SSL_CTX_free(contexts[i].ctx);
        contexts[i].ctx = NULL;
    }
}

static void forget_trace(void)
{
    int side, i;

    if (contexts[SERVER].ctx != NULL) {
        SSL_CTX_sess_set_remove_cb(contexts[SERVER].ctx, NULL);
        SSL_CTX_sess_set_remove_cb(contexts[CLIENT].ctx, NULL);
        SSL_CTX_sess_set_remove_cb(contexts[SWITCHED].ctx, NULL);
        free_all();
    }
    for (side = SERVER; side <= CLIENT; side++) {
        for (i = 0; i < names[side].count; i++)
            SSL_SESSION_free(names[side].item[i].session);
        names[side].count = 0;
    }
    for (side = SERVER; side <= SWITCHED; side++) {
        for (i = 0; i < contexts[side].stored_count; i++)
            OPENSSL_free(contexts[side].stored[i].der);
        free(contexts[side].stored);
        free(contexts[side].last_cache);
    }
    memset(contexts, 0, sizeof(contexts));
    for (i = 0; i < kept_count; i++)
        SSL_SESSION_free(kept[i]);
    kept_count = 0;
    memset(slots, 0, sizeof(slots));
}

/* "OpenSSL 3.5.8 25 Aug 2026": the second word, without what a distribution appends. */
static void print_version(void)
{
    const char *version = strchr(OpenSSL_version(OPENSSL_VERSION), ' ') + 1;

    printf("libssl %.*s\n", (int)strcspn(version, " +-"), version);
}

static void reset(int is_shared)
{
    forget_trace();
    sslctx_clock_ms = CLOCK_START;
    prng = 1;
    collide_left = 0;
    shared = is_shared;
    switching = SWITCH_NEVER;
    decrypting = 0;
    make_context(&contexts[SERVER]);
    make_context(&contexts[SWITCHED]);
    if (shared)
        contexts[CLIENT].ctx = contexts[SERVER].ctx;
    else
        make_context(&contexts[CLIENT]);
    print_version();
}

/* ---- connections ---- */

static void join(Connection *connection)
{
    int side;

    for (side = SERVER; side <= CLIENT; side++) {
        connection->in[side] = BIO_new(BIO_s_mem());
        BIO_set_mem_eof_return(connection->in[side], -1);
    }
    for (side = SERVER; side <= CLIENT; side++) {
        BIO_up_ref(connection->in[side]);
        SSL_set_bio(connection->ssl[side], connection->in[side], connection->in[1 - side]);
    }
}

static int accept_any(int ok, X509_STORE_CTX *store)
{
    (void)ok, (void)store;
    return 1;
}

static void open_connection(Connection *connection)
{
    int side;

    for (side = SERVER; side <= CLIENT; side++) {
        SSL *ssl = SSL_new(contexts[side].ctx);

        connection->ssl[side] = ssl;
        SSL_set_app_data(ssl, connection);
        SSL_set_msg_callback(ssl, on_message);
        SSL_set_msg_callback_arg(ssl, connection);
    }
    /* The client may verify its peer, and accepts the self-signed certificate all the same. */
    SSL_set_verify(connection->ssl[CLIENT], SSL_get_verify_mode(connection->ssl[CLIENT]), accept_any);
    SSL_certs_clear(connection->ssl[CLIENT]);
    SSL_set_post_handshake_auth(connection->ssl[CLIENT], 1);
    join(connection);
    SSL_set_accept_state(connection->ssl[SERVER]);
    SSL_set_connect_state(connection->ssl[CLIENT]);
}

static int is_anti_replay(SSL *ssl)
{
    return SSL_get_max_early_data(ssl) > 0 && (SSL_get_options(ssl) & SSL_OP_NO_ANTI_REPLAY) == 0;
}

/* Stateful tickets that are used again and again. */
static int leaves_expired(SSL *ssl)
{
    return (SSL_get_options(ssl) & SSL_OP_NO_TICKET) != 0 && !is_anti_replay(ssl);
}

/*
 * One call into the server, with D6: a stateful TLS 1.3 session that was found expired is removed. With anti-replay
 * libssl has removed it before.
 */
static int serve(Connection *connection, int (*call)(SSL *))
{
    SSL *ssl = connection->ssl[SERVER];
    SSL_CTX *ctx = contexts[SERVER].ctx;
    long timeouts = SSL_CTX_sess_timeouts(ctx);
    SSL_SESSION *found = NULL;
    int result;

    if (connection->psk_len == 32 && leaves_expired(ssl)
        && (SSL_CTX_get_session_cache_mode(ctx) & SSL_SESS_CACHE_NO_INTERNAL_LOOKUP) == 0)
        found = find_cached(ctx, TLS1_3_VERSION, connection->psk, 32);
    if (found != NULL)
        SSL_SESSION_up_ref(found);
    get_answer = NULL;
    current_server = connection;
    ERR_clear_error();
    result = call(ssl);
    current_server = NULL;
    if (SSL_CTX_sess_timeouts(ctx) > timeouts && SSL_version(ssl) == TLS1_3_VERSION && leaves_expired(ssl)
        && (found != NULL || get_answer != NULL))
        SSL_CTX_remove_session(ctx, found != NULL ? found : get_answer);
    SSL_SESSION_free(found);
    return result;
}

static int read_nothing(SSL *ssl)
{
    char byte;

    return SSL_read(ssl, &byte, 1);
}

static int is_waiting(SSL *ssl, int result)
{
    return SSL_get_error(ssl, result) == SSL_ERROR_WANT_READ;
}

static void print_session(Connection *connection, int side)
{
    SSL_SESSION *session = SSL_get_session(connection->ssl[side]);
    unsigned int len;
    const unsigned char *id;

    if (session == NULL)
        return;
    id = SSL_SESSION_get_id(session, &len);
    printf("sess %d %c ", number_of(connection), side == SERVER ? 's' : 'c');
    print_name(name(side, session));
    printf(" %c ", SSL_SESSION_is_resumable(session) ? 'R' : 'N');
    print_hex(id, len);
    putchar(' ');
    if (connection->done[side])
        print_der(session);
    else
        putchar('-');
    putchar('\n');
}

/* A PSK from outside: what either side of a connection has of it, and its name. */
static const unsigned char psk_name[8] = { 'e', 'x', 't', 'e', 'r', 'n', 'a', 'l' };

static SSL_SESSION *make_psk(SSL *ssl)
{
    static const unsigned char suite[2] = { 0x13, 0x02 };
    unsigned char secret[48];
    SSL_SESSION *session = SSL_SESSION_new();

    memset(secret, 0xee, sizeof(secret));
    if (session == NULL || !SSL_SESSION_set1_master_key(session, secret, sizeof(secret))
        || !SSL_SESSION_set_cipher(session, SSL_CIPHER_find(ssl, suite))
        || !SSL_SESSION_set_protocol_version(session, TLS1_3_VERSION))
        die("no PSK");
    return session;
}

/* After a HelloRetryRequest, the hash must be that of the suite that was chosen. */
static int use_psk(SSL *ssl, const EVP_MD *md, const unsigned char **id, size_t *id_len, SSL_SESSION **session)
{
    *id = psk_name;
    *id_len = sizeof(psk_name);
    *session = md == NULL || EVP_MD_size(md) == 48 ? make_psk(ssl) : NULL;
    return 1;
}

static int find_psk(SSL *ssl, const unsigned char *id, size_t id_len, SSL_SESSION **session)
{
    *session = id_len == sizeof(psk_name) && memcmp(id, psk_name, id_len) == 0 ? make_psk(ssl) : NULL;
    return 1;
}

static const char *outcome(const Connection *connection, int side)
{
    return connection->failed[side] ? "fail" : connection->done[side] ? "ok" : "wait";
}

static void print_handshake(Connection *connection)
{
    printf("hs %d S=%s C=%s reused=%d%d version=%d\n", number_of(connection), outcome(connection, SERVER),
           outcome(connection, CLIENT), SSL_session_reused(connection->ssl[SERVER]),
           SSL_session_reused(connection->ssl[CLIENT]), SSL_version(connection->ssl[SERVER]));
    print_session(connection, SERVER);
    print_session(connection, CLIENT);
}

static int step(Connection *connection, int side, int (*call)(SSL *))
{
    SSL *ssl = connection->ssl[side];
    int result;

    ERR_clear_error();
    result = side == SERVER ? serve(connection, call) : call(ssl);
    if (result != 1 && !is_waiting(ssl, result))
        connection->failed[side] = 1;
    return result == 1;
}

/* What is under way to a side is lost, and an alert arrives in its place. */
static void cut(Connection *connection, int side)
{
    unsigned char record[7] = { 21, 3, 3, 0, 2, connection->cut.level, connection->cut.description };

    if (!connection->cut.is_set || connection->cut.side != side)
        return;
    (void)BIO_reset(connection->in[side]);
    BIO_write(connection->in[side], record, sizeof(record));
    connection->cut.is_set = 0;
}

static void settle(Connection *connection)
{
    connection->state = connection->done[SERVER] && connection->done[CLIENT] ? ESTABLISHED : FAILED;
    print_handshake(connection);
}

/* The client may send early data: nothing in its session, which libssl would compare, keeps it from that. */
static int may_write_early(Connection *connection)
{
    SSL_SESSION *session = SSL_get_session(connection->ssl[CLIENT]);
    const unsigned char *alpn;
    size_t alpn_len = 0;
    int side;

    for (side = SERVER; side <= CLIENT; side++) {
        int version = (int)SSL_get_max_proto_version(connection->ssl[side]);

        if (version != 0 && version != TLS1_3_VERSION)
            return 0;
    }
    if (session == NULL || !SSL_SESSION_is_resumable(session) || SSL_SESSION_get_max_early_data(session) == 0
        || SSL_SESSION_get_protocol_version(session) != TLS1_3_VERSION || SSL_SESSION_get0_hostname(session) != NULL)
        return 0;
    SSL_SESSION_get0_alpn_selected(session, &alpn, &alpn_len);
    return alpn_len == 0;
}

static int connect_early(SSL *ssl)
{
    Connection *connection = connection_of(ssl);
    size_t written;

    if (connection->writes_early) {
        connection->writes_early = 0;
        if (SSL_write_early_data(ssl, "x", 1, &written) != 1)
            return -1;
    }
    return SSL_do_handshake(ssl);
}

static int accept_early(SSL *ssl)
{
    Connection *connection = connection_of(ssl);
    char byte;
    size_t read;

    while (connection->reads_early) {
        int result = SSL_read_early_data(ssl, &byte, 1, &read);

        if (result == SSL_READ_EARLY_DATA_ERROR)
            return -1;
        connection->reads_early = result != SSL_READ_EARLY_DATA_FINISH;
    }
    return SSL_do_handshake(ssl);
}

static void handshake(Connection *connection, int is_early)
{
    int (*connect)(SSL *) = is_early ? connect_early : SSL_do_handshake;
    int (*accept)(SSL *) = is_early ? accept_early : SSL_do_handshake;
    int turn, was_cut = connection->cut.is_set, is_cut;

    if (connection->state != FRESH) {
        puts("= done");
        return;
    }
    connection->writes_early = is_early && may_write_early(connection);
    connection->reads_early = is_early;
    for (turn = 0; turn < 10 && !(connection->done[SERVER] && connection->done[CLIENT]); turn++) {
        if (!connection->done[CLIENT])
            connection->done[CLIENT] = step(connection, CLIENT, connect);
        if (connection->failed[CLIENT])
            break;
        if (turn == 1)
            cut(connection, SERVER);
        if (!connection->done[SERVER])
            connection->done[SERVER] = step(connection, SERVER, accept);
        if (connection->failed[SERVER])
            break;
        cut(connection, CLIENT);
    }
    is_cut = was_cut && !connection->cut.is_set;
    connection->cut.is_set = 0;
    if (is_early && connection->done[SERVER])
        printf("early %d %d\n", number_of(connection), SSL_get_early_data_status(connection->ssl[SERVER]));
    settle(connection);
    if (is_cut || (is_early && connection->failed[SERVER]))
        connection->state = REPLACED;
}

/* What one of the two asks for; its "= " is printed. */
static int begin_renegotiation(const Connection *connection, int side, int full)
{
    SSL *client = connection->ssl[CLIENT], *server = connection->ssl[SERVER], *ssl = connection->ssl[side];
    int result;

    /* Handshake messages after close_notify are ignored, and a session of another version is no matter of this protocol. */
    if (connection->state != ESTABLISHED || SSL_get_shutdown(client) != 0 || SSL_get_shutdown(server) != 0
        || SSL_SESSION_get_protocol_version(SSL_get_session(client)) != SSL_version(client)) {
        puts("= none");
        return 0;
    }
    result = full ? SSL_renegotiate(ssl) : SSL_renegotiate_abbreviated(ssl);
    printf("= %d\n", result);
    return result == 1;
}

static void renegotiate(Connection *connection, int full)
{
    SSL *server = connection->ssl[SERVER];
    int turn;

    if (!begin_renegotiation(connection, CLIENT, full))
        return;
    connection->done[CLIENT] = connection->done[SERVER] = 0;
    for (turn = 0; turn < 10 && !(connection->done[SERVER] && connection->done[CLIENT]); turn++) {
        if (!connection->done[CLIENT])
            connection->done[CLIENT] = step(connection, CLIENT, SSL_do_handshake);
        if (connection->failed[CLIENT])
            break;
        step(connection, SERVER, read_nothing);
        if (connection->failed[SERVER])
            break;
        connection->done[SERVER] = connection->done[CLIENT] && !SSL_in_init(server);
    }
    settle(connection);
}

/*
 * A server asks for a new handshake. What its session is used for is decided by which of the two it has asked for, the client
 * answers both alike.
 */
static void ask_for_renegotiation(Connection *connection, int full)
{
    SSL *client = connection->ssl[CLIENT], *server = connection->ssl[SERVER];
    int turn;

    if (!begin_renegotiation(connection, SERVER, full))
        return;
    step(connection, SERVER, SSL_do_handshake);
    connection->done[CLIENT] = connection->done[SERVER] = 0;
    for (turn = 0; turn < 10 && !(connection->done[SERVER] && connection->done[CLIENT]); turn++) {
        step(connection, CLIENT, read_nothing);
        if (connection->failed[CLIENT])
            break;
        connection->done[CLIENT] = !SSL_in_init(client);
        step(connection, SERVER, read_nothing);
        if (connection->failed[SERVER])
            break;
        connection->done[SERVER] = connection->done[CLIENT] && !SSL_in_init(server);
    }
    settle(connection);
}

static const char *read_once(Connection *connection, int side)
{
    SSL *ssl = connection->ssl[side];
    int result, error;

    ERR_clear_error();
    result = side == SERVER ? serve(connection, read_nothing) : read_nothing(ssl);
    if (result > 0)
        return "ok";
    error = SSL_get_error(ssl, result);
    if (error == SSL_ERROR_ZERO_RETURN)
        return "zero";
    if (error == SSL_ERROR_WANT_READ)
        return "want";
    connection->failed[side] = 1;
    connection->state = FAILED;
    return "error";
}

static void end_transport(Connection *connection, int side, int with_garbage)
{
    unsigned char record[37] = { 23, 3, 3, 0, 32 };

    if (connection->state != ESTABLISHED || connection->failed[side]) {
        puts("= none");
        return;
    }
    if (with_garbage)
        BIO_write(connection->in[side], record, sizeof(record));
    else
        BIO_set_mem_eof_return(connection->in[side], 0);
    printf("= %s\n", read_once(connection, side));
    BIO_set_mem_eof_return(connection->in[side], -1);
}

static void clear(Connection *connection)
{
    int client = SSL_clear(connection->ssl[CLIENT]), server = SSL_clear(connection->ssl[SERVER]);
    int side;

    printf("= %d %d %d%d\n", client, server, SSL_get_session(connection->ssl[CLIENT]) != NULL,
           SSL_get_session(connection->ssl[SERVER]) != NULL);
    for (side = SERVER; side <= CLIENT; side++)
        connection->done[side] = connection->failed[side] = 0;
    connection->state = client && server && !connection->has_authenticated ? FRESH : STUCK;
    connection->psk_len = 0;
    join(connection);
}

static void repeat(Connection *connection, int count)
{
    while (count-- > 0) {
        puts("turn");
        if (connection->ssl[SERVER] == NULL)
            open_connection(connection);
        handshake(connection, 0);
        printf("= %s\n", read_once(connection, CLIENT));
        SSL_shutdown(connection->ssl[SERVER]);
        SSL_shutdown(connection->ssl[CLIENT]);
        ERR_clear_error();
        free_connection(connection);
    }
}

/* ---- what has changed ---- */

static void print_stats(Context *context, const char *letter)
{
    SSL_CTX *ctx = context->ctx;
    int now[12], i;

    now[0] = (int)SSL_CTX_sess_number(ctx);
    now[1] = (int)SSL_CTX_sess_connect(ctx);
    now[2] = (int)SSL_CTX_sess_connect_good(ctx);
    now[3] = (int)SSL_CTX_sess_connect_renegotiate(ctx);
    now[4] = (int)SSL_CTX_sess_accept(ctx);
    now[5] = (int)SSL_CTX_sess_accept_good(ctx);
    now[6] = (int)SSL_CTX_sess_accept_renegotiate(ctx);
    now[7] = (int)SSL_CTX_sess_hits(ctx);
    now[8] = (int)SSL_CTX_sess_cb_hits(ctx);
    now[9] = (int)SSL_CTX_sess_misses(ctx);
    now[10] = (int)SSL_CTX_sess_timeouts(ctx);
    now[11] = (int)SSL_CTX_sess_cache_full(ctx);
    if (memcmp(now, context->last_stats, sizeof(now)) == 0)
        return;
    memcpy(context->last_stats, now, sizeof(now));
    printf("stats %s", letter);
    for (i = 0; i < 12; i++)
        printf(" %d", now[i]);
    putchar('\n');
}

static int by_id(const void *a, const void *b)
{
    unsigned int a_len, b_len;
    const unsigned char *a_id = SSL_SESSION_get_id(*(SSL_SESSION *const *)a, &a_len);
    const unsigned char *b_id = SSL_SESSION_get_id(*(SSL_SESSION *const *)b, &b_len);
    int order = memcmp(a_id, b_id, a_len < b_len ? a_len : b_len);

    return order != 0 ? order : (int)a_len - (int)b_len;
}

static int by_name(const void *a, const void *b)
{
    const Slot *left = *(Slot *const *)a, *right = *(Slot *const *)b;

    return left->side != right->side ? left->side - right->side : left->index - right->index;
}

static void print_cache(Context *context, const char *letter, int side)
{
    SessionList list = cached(context->ctx);
    Slot **sorted = malloc(sizeof(Slot *) * (size_t)(list.count + 1));
    char *text = malloc((size_t)list.count * 12 + 16);
    int i, len, unnamed = 0;

    for (i = 0; i < list.count; i++)
        unnamed += slot_of(list.item[i])->session == NULL;
    if (unnamed > 0)
        qsort(list.item, (size_t)list.count, sizeof(SSL_SESSION *), by_id);
    for (i = 0; i < list.count; i++)
        sorted[i] = name(side, list.item[i]);
    qsort(sorted, (size_t)list.count, sizeof(Slot *), by_name);
    len = sprintf(text, "cache %s", letter);
    for (i = 0; i < list.count; i++)
        len += sprintf(text + len, " %c%d", sorted[i]->side == SERVER ? 's' : 'c', sorted[i]->index);
    free(sorted);
    if (context->last_cache != NULL && strcmp(context->last_cache, text) == 0) {
        free(text);
        return;
    }
    if (context->last_cache != NULL || list.count > 0)
        puts(text);
    free(context->last_cache);
    context->last_cache = text;
}

static void print_sessions(void)
{
    int side, i;

    for (side = SERVER; side <= CLIENT; side++)
        for (i = 0; i < names[side].count; i++) {
            Named *named = &names[side].item[i];
            int resumable = SSL_SESSION_is_resumable(named->session);
            long time = SSL_SESSION_get_time(named->session), timeout = SSL_SESSION_get_timeout(named->session);

            if (named->resumable == resumable && named->time == time && named->timeout == timeout)
                continue;
            named->resumable = resumable;
            named->time = time;
            named->timeout = timeout;
            printf("~ %c%d %c %ld %ld\n", side == SERVER ? 's' : 'c', i, resumable ? 'R' : 'N', time, timeout);
        }
}

static void print_changes(void)
{
    int side, i;

    for (side = SERVER; side <= CLIENT; side++)
        for (i = 0; i < names[side].count; i++)
            put_id_back(&names[side].item[i]);
    if (contexts[SERVER].ctx != NULL) {
        print_stats(&contexts[SERVER], "S");
        print_cache(&contexts[SERVER], "S", SERVER);
    }
    if (contexts[CLIENT].ctx != NULL && !shared) {
        print_stats(&contexts[CLIENT], "C");
        print_cache(&contexts[CLIENT], "C", CLIENT);
    }
    if (contexts[SWITCHED].ctx != NULL) {
        print_stats(&contexts[SWITCHED], "T");
        print_cache(&contexts[SWITCHED], "T", SERVER);
    }
    print_sessions();
}

/* ---- operations ---- */

static char *word(void)
{
    return strtok(NULL, " \n");
}

static long number(void)
{
    const char *text = word();

    return text == NULL ? 0 : strtol(text, NULL, 10);
}

static int side_of(const char *text)
{
    return text != NULL && text[0] == 'c' ? CLIENT : SERVER;
}

/* 1.1.1 keeps these bits, which mean nothing to it. */
static uint64_t options_word(void)
{
    uint64_t bits = (uint64_t)number();

    return OpenSSL_version_num() < 0x30000000UL ? bits & ~(uint64_t)0x81 : bits;
}

static SSL_SESSION *session_word(int side)
{
    const char *text = word();

    long index, count = names[side].count;

    if (text == NULL || text[0] != '#' || count == 0)
        return NULL;
    index = strtol(text + 1, NULL, 10) % count;
    return names[side].item[index < 0 ? index + count : index].session;
}

static size_t hex_word(unsigned char *out, size_t room)
{
    const char *text = word();
    size_t len = 0;
    unsigned int byte;

    if (text == NULL || text[0] == '-')
        return 0;
    for (; len < room && sscanf(text, "%2x", &byte) == 1; text += 2)
        out[len++] = (unsigned char)byte;
    return len;
}

static void on_context(const char *what, Context *context, int side)
{
    SSL_CTX *ctx = context->ctx;
    unsigned char bytes[64];

    if (strcmp(what, "mode") == 0) {
        long previous = SSL_CTX_set_session_cache_mode(ctx, number());
        printf("= %ld %ld\n", previous, SSL_CTX_get_session_cache_mode(ctx));
    } else if (strcmp(what, "size") == 0) {
        long previous = SSL_CTX_sess_set_cache_size(ctx, libssl_size(number()));
        printf("= %ld %ld\n", own_size(previous), own_size(SSL_CTX_sess_get_cache_size(ctx)));
    } else if (strcmp(what, "timeout") == 0)
        printf("= %ld\n", SSL_CTX_set_timeout(ctx, number()));
    else if (strcmp(what, "sidctx") == 0) {
        size_t len = hex_word(bytes, sizeof(bytes));
        printf("= %d\n", SSL_CTX_set_session_id_context(ctx, bytes, (unsigned int)len));
    } else if (strcmp(what, "verify") == 0)
        SSL_CTX_set_verify(ctx, (int)number(), NULL);
    else if (strcmp(what, "options") == 0) {
        int set = strcmp(word(), "set") == 0;
        uint64_t bits = options_word();
        bits = set ? SSL_CTX_set_options(ctx, bits) : SSL_CTX_clear_options(ctx, bits);
        printf("= %lu\n", (unsigned long)(bits & VISIBLE_OPTIONS));
    } else if (strcmp(what, "tickets") == 0)
        SSL_CTX_set_num_tickets(ctx, (size_t)number());
    else if (strcmp(what, "early") == 0)
        SSL_CTX_set_max_early_data(ctx, (uint32_t)number());
    else if (strcmp(what, "maxver") == 0)
        SSL_CTX_set_max_proto_version(ctx, (int)number());
    else if (strcmp(what, "suite") == 0)
        set_suites(ctx, (int)number());
    else if (strcmp(what, "groups") == 0)
        set_groups(ctx, (int)number());
    else if (strcmp(what, "newcb") == 0) {
        context->new_mode = (int)number();
        SSL_CTX_sess_set_new_cb(ctx, (context->new_mode & 3) ? on_new : NULL);
    } else if (strcmp(what, "getcb") == 0) {
        context->get_mode = (int)number();
        SSL_CTX_sess_set_get_cb(ctx, context->get_mode ? on_get : NULL);
    } else if (strcmp(what, "remcb") == 0)
        SSL_CTX_sess_set_remove_cb(ctx, number() ? on_remove : NULL);
    else if (strcmp(what, "idcb") == 0)
        SSL_CTX_set_generate_session_id(ctx, generators[number()]);
    else if (strcmp(what, "notres") == 0) {
        long mode = number();
        SSL_CTX_set_not_resumable_session_callback(ctx, mode == 0 ? NULL : mode == 1 ? not_resumable_0 : not_resumable_1);
    } else if (strcmp(what, "decrypt") == 0)
        decrypting = (int)number();
    else if (strcmp(what, "keys") == 0)
        set_ticket_key_callback(ctx, (int)number());
    else if (strcmp(what, "flush") == 0)
        SSL_CTX_flush_sessions(ctx, number());
    else {
        SSL_SESSION *session = session_word(side);
        unsigned int id_len = 0;
        int i;

        if (session == NULL) {
            puts("= none");
            return;
        }
        SSL_SESSION_get_id(session, &id_len);
        if (strcmp(what, "add") == 0) /* D2 */
            printf("= %d\n", id_len == 0 ? 0 : SSL_CTX_add_session(ctx, session));
        else if (strcmp(what, "remove") == 0)
            printf("= %d\n", SSL_CTX_remove_session(ctx, session));
        else if (strcmp(what, "extput") == 0) {
            if (id_len > 0)
                store(context, session);
        } else if (strcmp(what, "extdel") == 0)
            for (i = 0; i < context->stored_count; i++)
                if (has_id(session, context->stored[i].id, context->stored[i].id_len)) {
                    OPENSSL_free(context->stored[i].der);
                    context->stored[i] = context->stored[--context->stored_count];
                }
    }
}

static void on_session(const char *what)
{
    int side = side_of(word());
    SSL_SESSION *session;
    unsigned char bytes[64];

    if (strcmp(what, "import") == 0) {
        static unsigned char der[65536];
        size_t len = hex_word(der, sizeof(der));
        const unsigned char *at = der;

        session = d2i_SSL_SESSION(NULL, &at, (long)len);
        if (session == NULL || at != der + len) {
            puts("= error");
            SSL_SESSION_free(session);
            return;
        }
        fputs("= ", stdout);
        print_name(name(side, session));
        putchar('\n');
        SSL_SESSION_free(session);
        return;
    }
    session = session_word(side);
    if (session == NULL)
        puts("= none");
    else if (strcmp(what, "dup") == 0 || strcmp(what, "as") == 0) {
        session = SSL_SESSION_dup(session);
        if (session == NULL) {
            ERR_clear_error();
            puts("= error");
            return;
        }
        if (strcmp(what, "as") == 0) {
            size_t len = hex_word(bytes, sizeof(bytes));
            SSL_SESSION_set1_id(session, bytes, (unsigned int)len);
        }
        fputs("= ", stdout);
        print_name(name(side, session));
        putchar('\n');
        SSL_SESSION_free(session);
    } else if (strcmp(what, "sethost") == 0) {
        size_t len = hex_word(bytes, sizeof(bytes) - 1);
        bytes[len] = 0;
        SSL_SESSION_set1_hostname(session, len == 0 ? NULL : (const char *)bytes);
    } else if (strcmp(what, "setdata") == 0) {
        size_t len = hex_word(bytes, sizeof(bytes));
        SSL_SESSION_set1_ticket_appdata(session, bytes, len);
    } else if (strcmp(what, "settime") == 0)
        SSL_SESSION_set_time(session, number());
    else if (strcmp(what, "settimeout") == 0)
        SSL_SESSION_set_timeout(session, number());
    else if (strcmp(what, "setctx") == 0) {
        size_t len = hex_word(bytes, sizeof(bytes));
        printf("= %d\n", SSL_SESSION_set1_id_context(session, bytes, (unsigned int)len));
    } else {
        fputs("= ", stdout);
        print_name(slot_of(session));
        putchar(' ');
        print_der(session);
        putchar('\n');
    }
}

static void configure(Connection *connection)
{
    SSL *ssl = connection->ssl[side_of(word())];
    const char *what = word();
    unsigned char bytes[64];

    if (strcmp(what, "sidctx") == 0) {
        size_t len = hex_word(bytes, sizeof(bytes));
        printf("= %d\n", SSL_set_session_id_context(ssl, bytes, (unsigned int)len));
    } else if (strcmp(what, "verify") == 0)
        SSL_set_verify(ssl, (int)number(), NULL);
    else if (strcmp(what, "options") == 0)
        SSL_set_options(ssl, options_word());
    else if (strcmp(what, "without") == 0)
        SSL_clear_options(ssl, options_word());
    else if (strcmp(what, "quiet") == 0)
        SSL_set_quiet_shutdown(ssl, (int)number());
    else if (strcmp(what, "tickets") == 0)
        SSL_set_num_tickets(ssl, (size_t)number());
    else if (strcmp(what, "early") == 0)
        SSL_set_max_early_data(ssl, (uint32_t)number());
    else if (strcmp(what, "idcb") == 0)
        SSL_set_generate_session_id(ssl, generators[number()]);
    else if (strcmp(what, "groups") == 0)
        SSL_set1_groups_list(ssl, groups[number()]);
    else if (strcmp(what, "psk") == 0 && SSL_is_server(ssl))
        SSL_set_psk_find_session_callback(ssl, number() ? find_psk : NULL);
    else if (strcmp(what, "psk") == 0)
        SSL_set_psk_use_session_callback(ssl, number() ? use_psk : NULL);
}

static void new_tickets(Connection *connection, long count)
{
    int result = 0;

    if (connection->state > ESTABLISHED) {
        puts("= none");
        return;
    }
    do
        result = SSL_new_session_ticket(connection->ssl[SERVER]);
    while (--count > 0);
    printf("= %d\n", result);
    if (result == 1)
        step(connection, SERVER, SSL_do_handshake);
    if (connection->failed[SERVER])
        connection->state = STUCK;
}

/* Post-handshake authentication of a client that has no certificate: tickets follow. */
static void authenticate(Connection *connection)
{
    SSL *client = connection->ssl[CLIENT], *server = connection->ssl[SERVER];
    int mode = SSL_get_verify_mode(server), result;

    if (connection->state != ESTABLISHED || SSL_version(server) != TLS1_3_VERSION || SSL_get_shutdown(client) != 0
        || SSL_get_shutdown(server) != 0) {
        puts("= none");
        return;
    }
    SSL_set_verify(server, SSL_VERIFY_PEER, NULL);
    result = SSL_verify_client_post_handshake(server);
    printf("= %d\n", result);
    if (result == 1) {
        connection->has_authenticated = 1;
        step(connection, SERVER, SSL_do_handshake);
        step(connection, CLIENT, read_nothing);
        step(connection, SERVER, read_nothing);
    }
    SSL_set_verify(server, mode, NULL);
    if (connection->failed[SERVER])
        connection->state = STUCK;
}

static int is_one_of(const char *what, const char *list)
{
    size_t len = strlen(what);
    const char *at = list;

    while ((at = strstr(at, what)) != NULL) {
        if ((at == list || at[-1] == ' ') && (at[len] == ' ' || at[len] == 0))
            return 1;
        at++;
    }
    return 0;
}

static void on_connection(const char *what)
{
    Connection *connection = &connections[number() % CONNECTIONS];
    int side;

    if (strcmp(what, "open") == 0) {
        puts(connection->ssl[SERVER] != NULL ? "= busy" : "= ok");
        if (connection->ssl[SERVER] == NULL)
            open_connection(connection);
        return;
    }
    if (strcmp(what, "repeat") == 0 && connection->state < REPLACED) {
        repeat(connection, (int)number());
        return;
    }
    if (connection->ssl[SERVER] == NULL
        || (connection->state == REPLACED && !is_one_of(what, "free clear"))
        || (connection->state == STUCK && !is_one_of(what, "free"))) {
        puts("= none");
        return;
    }
    if (strcmp(what, "set") == 0) {
        SSL_SESSION *session = session_word(CLIENT);
        /* Without a session a NewSessionTicket that is under way would crash libssl. */
        if (session == NULL && connection->state != FRESH)
            puts("= none");
        else
            printf("= %d\n", SSL_set_session(connection->ssl[CLIENT], session));
        if (session != NULL && connection->state != FRESH)
            connection->state = REPLACED;
    } else if (strcmp(what, "handshake") == 0)
        handshake(connection, word() != NULL);
    else if (strcmp(what, "ticket") == 0)
        new_tickets(connection, number());
    else if (strcmp(what, "reneg") == 0)
        renegotiate(connection, strcmp(word(), "full") == 0);
    else if (strcmp(what, "ask") == 0)
        ask_for_renegotiation(connection, strcmp(word(), "full") == 0);
    else if (strcmp(what, "auth") == 0)
        authenticate(connection);
    else if (strcmp(what, "cut") == 0) {
        connection->cut.is_set = 1;
        connection->cut.side = side_of(word());
        connection->cut.level = (unsigned char)number();
        connection->cut.description = (unsigned char)number();
    }
    else if (strcmp(what, "clear") == 0)
        clear(connection);
    else if (strcmp(what, "free") == 0)
        free_connection(connection);
    else if (strcmp(what, "conn") == 0)
        configure(connection);
    else if (strcmp(what, "switch") == 0)
        SSL_set_SSL_CTX(connection->ssl[SERVER], contexts[word()[0] == 'T' ? SWITCHED : SERVER].ctx);
    else if (strcmp(what, "has") == 0) {
        SSL_SESSION *session = session_word(SERVER);
        unsigned int len = 0;
        const unsigned char *id = session == NULL ? NULL : SSL_SESSION_get_id(session, &len);
        if (session == NULL)
            puts("= none");
        else
            printf("= %d\n", SSL_has_matching_session_id(connection->ssl[SERVER], id, len));
    } else {
        side = side_of(word());
        if (strcmp(what, "sent") == 0)
            SSL_set_shutdown(connection->ssl[side], SSL_SENT_SHUTDOWN);
        else if (connection->state == FRESH)
            puts("= none");
        else if (strcmp(what, "read") == 0)
            printf("= %s\n", read_once(connection, side));
        else if (strcmp(what, "shutdown") == 0) {
            ERR_clear_error();
            printf("= %d\n", SSL_shutdown(connection->ssl[side]));
        } else
            end_transport(connection, side, strcmp(what, "garbage") == 0);
    }
}

static void run(char *line)
{
    const char *what = strtok(line, " \n");

    if (what == NULL)
        return;
    if (strcmp(what, "reset") == 0)
        reset((int)number());
    else if (strcmp(what, "end") == 0)
        free_all();
    else if (strcmp(what, "clock") == 0)
        sslctx_clock_ms += number();
    else if (strcmp(what, "collide") == 0)
        collide_left = (int)number();
    else if (strcmp(what, "switching") == 0) {
        const char *when = word();
        switching = strcmp(when, "hello") == 0 ? SWITCH_ON_HELLO : strcmp(when, "name") == 0 ? SWITCH_ON_NAME
                    : strcmp(when, "refuse") == 0 ? REFUSE_NAME
                    : strcmp(when, "warn") == 0 ? WARN_OF_NAME
                    : strcmp(when, "ticketless") == 0 ? WITHOUT_TICKET : SWITCH_NEVER;
    }
    else if (is_one_of(what, "import dup as sethost setdata settime settimeout setctx show"))
        on_session(what);
    else if (is_one_of(what, "open set handshake read ticket auth reneg ask cut shutdown sent eof garbage clear free has conn repeat switch"))
        on_connection(what);
    else {
        const char *letter = word();
        int side = letter != NULL && letter[0] == 'C' ? CLIENT : SERVER;
        on_context(what, &contexts[letter != NULL && letter[0] == 'T' ? SWITCHED : shared ? SERVER : side], side);
    }
    if (is_one_of(what, "handshake ticket auth reneg ask repeat"))
        collide_left = 0;
    print_changes();
    puts(".");
}

static void run_all(void)
{
    static char line[200000];
    static char buffer[1 << 20];

    setvbuf(stdout, buffer, _IOFBF, sizeof(buffer));
    RAND_set_rand_method(&random_method);
    prng = 42;
    make_certificate();
    while (fgets(line, sizeof(line), stdin) != NULL)
        run(line);
    fflush(stdout);
    sslctx_clock_ms = -1;
}

#ifdef RUNNER_ADDON
#include <unistd.h>

void *napi_register_module_v1(void *env, void *exports)
{
    (void)env;
    run_all();
    _exit(0);
    return exports;
}
#else
int main(void)
{
    run_all();
    return 0;
}
#endif
