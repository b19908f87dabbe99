/*
 * The session cache of libssl, measured: the peer of sides/model.ts, which does the same with the same sessions.
 *
 *   libssl-cache <operation> <sessions> <batches> <template> <offset of its id> <offset of its time>
 *
 * prints a line of JSON: { "value": nanoseconds an operation (or bytes, or milliseconds), ... }.
 *
 * A server's own lookup (lookup_sess_in_cache) is not public. The nearest public function is
 * SSL_has_matching_session_id(3): the same key, lock and hash table. It leaves out what follows a lookup: the reference
 * that is taken, the comparison of session id context and age, the counter of hits or misses, and any callback.
 *
 * `find` is that function alone, on one SSL; `lookup` is what a server does with a ClientHello as far as it is public: an
 * SSL of its own, that lookup, and after a miss a new session with a random id that is not in the cache.
 */
#define OPENSSL_SUPPRESS_DEPRECATED
#include <openssl/crypto.h>
#include <openssl/rand.h>
#include <openssl/ssl.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#define BATCH 4096
#define ID_LENGTH 32
#define TIMEOUT 7200
/* The index of sessions that were never made. */
#define ABSENT (1u << 28)
/* Expiries move on by a second every so many sessions. */
#define SESSIONS_A_SECOND 40

static unsigned char template[256];
static long template_length, id_offset, time_offset;
static SSL_CTX *ctx;
static SSL *ssl;
static uint32_t start_time;
static uint32_t random_state = 2463534242u;

static void die(const char *what)
{
    fprintf(stderr, "libssl-cache: %s\n", what);
    exit(1);
}

/* ---- the same in sessions.ts ---- */

static uint32_t random_uint32(void)
{
    random_state ^= random_state << 13;
    random_state ^= random_state >> 17;
    random_state ^= random_state << 5;
    return random_state;
}

static uint32_t mix(uint32_t x)
{
    x ^= x >> 16;
    x *= 0x85ebca6bu;
    x ^= x >> 13;
    x *= 0xc2b2ae35u;
    return x ^ (x >> 16);
}

static void write_id(unsigned char *id, uint32_t index)
{
    uint32_t word;
    int i;

    for (i = 0; i < ID_LENGTH / 4; i++) {
        word = mix(index * 8 + (uint32_t)i + 0x9e3779b9u);
        id[4 * i] = (unsigned char)(word >> 24);
        id[4 * i + 1] = (unsigned char)(word >> 16);
        id[4 * i + 2] = (unsigned char)(word >> 8);
        id[4 * i + 3] = (unsigned char)word;
    }
}

static uint32_t time_of(uint32_t index)
{
    return start_time + index / SESSIONS_A_SECOND;
}

static SSL_SESSION *make_session(uint32_t index)
{
    unsigned char der[256];
    const unsigned char *p = der;
    uint32_t t = time_of(index);
    SSL_SESSION *session;

    memcpy(der, template, (size_t)template_length);
    write_id(der + id_offset, index);
    der[time_offset] = (unsigned char)(t >> 24);
    der[time_offset + 1] = (unsigned char)(t >> 16);
    der[time_offset + 2] = (unsigned char)(t >> 8);
    der[time_offset + 3] = (unsigned char)t;
    session = d2i_SSL_SESSION(NULL, &p, template_length);
    if (session == NULL)
        die("the template is no session");
    return session;
}

/* ---- clocks ---- */

/* CPU time of the process: what else runs on the machine does not count. */
static double cpu_ns(void)
{
    struct timespec t;

    clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &t);
    return (double)t.tv_sec * 1e9 + (double)t.tv_nsec;
}

static double resident_bytes(void)
{
    long size, resident;
    FILE *file = fopen("/proc/self/statm", "r");

    if (file == NULL || fscanf(file, "%ld %ld", &size, &resident) != 2)
        die("no /proc/self/statm");
    fclose(file);
    return (double)resident * (double)sysconf(_SC_PAGESIZE);
}

/* ---- operations ---- */

static void fill(uint32_t sessions)
{
    uint32_t i;
    SSL_SESSION *session;

    SSL_CTX_sess_set_cache_size(ctx, (long)sessions);
    for (i = 0; i < sessions; i++) {
        session = make_session(i);
        if (!SSL_CTX_add_session(ctx, session))
            die("an id twice");
        SSL_SESSION_free(session);
    }
}

static void result(double value)
{
    printf("{\"value\":%.3f}\n", value);
}

/* What a server does around a lookup, as far as it is public: a new connection, and after a miss a new session. */
static int accept_and_look_up(const unsigned char *id)
{
    SSL *connection = SSL_new(ctx);
    SSL_SESSION *session;
    unsigned char new_id[ID_LENGTH];
    int found = SSL_has_matching_session_id(connection, id, ID_LENGTH);

    if (!found) {
        session = SSL_SESSION_new();
        if (RAND_bytes(new_id, ID_LENGTH) != 1 || SSL_has_matching_session_id(connection, new_id, ID_LENGTH))
            die("no new id");
        SSL_SESSION_set_timeout(session, TIMEOUT);
        SSL_SESSION_set1_id(session, new_id, ID_LENGTH);
        SSL_SESSION_set1_id_context(session, (const unsigned char *)"bench", 5);
        SSL_SESSION_free(session);
    }
    SSL_free(connection);
    return found;
}

static void look_up(uint32_t sessions, uint32_t batches, uint32_t first, int accepting)
{
    static unsigned char ids[BATCH][ID_LENGTH];
    double spent = 0, start;
    uint32_t batch, i, found = 0;

    for (batch = 0; batch < batches; batch++) {
        for (i = 0; i < BATCH; i++)
            write_id(ids[i], first + random_uint32() % sessions);
        start = cpu_ns();
        if (accepting)
            for (i = 0; i < BATCH; i++)
                found += (uint32_t)accept_and_look_up(ids[i]);
        else
            for (i = 0; i < BATCH; i++)
                found += (uint32_t)SSL_has_matching_session_id(ssl, ids[i], ID_LENGTH);
        spent += cpu_ns() - start;
    }
    /* libssl 3.0 keeps one session less than the size. */
    if (first == 0 ? found < batches * BATCH / 1000 * 998 : found > 0)
        die("wrong lookups");
    result(spent / ((double)batches * BATCH));
}

/* Owned by the caller until added. */
static void add(uint32_t sessions, uint32_t batches)
{
    static SSL_SESSION *made[BATCH];
    double spent = 0, start;
    uint32_t batch, i, next = sessions;

    for (batch = 0; batch < batches; batch++) {
        for (i = 0; i < BATCH; i++)
            made[i] = make_session(next++);
        start = cpu_ns();
        for (i = 0; i < BATCH; i++) {
            SSL_CTX_add_session(ctx, made[i]);
            SSL_SESSION_free(made[i]);
        }
        spent += cpu_ns() - start;
    }
    if (SSL_CTX_sess_cache_full(ctx) < (long)(batches * BATCH))
        die("not one evicted for each added");
    result(spent / ((double)batches * BATCH));
}

typedef enum { LOOK_UP, ADD, REMOVE } Kind;

typedef struct {
    Kind kind;
    unsigned char id[ID_LENGTH];
    SSL_SESSION *session;
} Step;

/*
 * 90 % lookups, 9 % adds, 1 % removals; with each batch the sessions of one second expire. They are removed one by one,
 * as they are known here: SSL_CTX_flush_sessions of libssl 3.0 would walk over the whole table.
 */
static void mixed(uint32_t sessions, uint32_t batches, int accepting)
{
    static Step steps[BATCH];
    static SSL_SESSION *expiring[SESSIONS_A_SECOND];
    double spent = 0, start;
    uint32_t batch, i, draw, next = sessions, oldest, expired;

    for (batch = 0; batch < batches; batch++) {
        /* The oldest that can still be there. */
        oldest = next - sessions;
        for (i = 0; i < BATCH; i++) {
            draw = random_uint32() % 100;
            steps[i].kind = draw < 90 ? LOOK_UP : draw < 99 ? ADD : REMOVE;
            if (steps[i].kind == ADD)
                steps[i].session = make_session(next++);
            else {
                uint32_t index = oldest + 2 * BATCH + random_uint32() % (sessions - 4 * BATCH);
                write_id(steps[i].id, index);
                steps[i].session = steps[i].kind == REMOVE ? make_session(index) : NULL;
            }
        }
        for (expired = 0; expired < SESSIONS_A_SECOND; expired++)
            expiring[expired] = make_session(next - sessions + BATCH + expired);
        start = cpu_ns();
        for (i = 0; i < BATCH; i++) {
            if (steps[i].kind == LOOK_UP && accepting)
                accept_and_look_up(steps[i].id);
            else if (steps[i].kind == LOOK_UP)
                SSL_has_matching_session_id(ssl, steps[i].id, ID_LENGTH);
            else {
                if (steps[i].kind == ADD)
                    SSL_CTX_add_session(ctx, steps[i].session);
                else
                    SSL_CTX_remove_session(ctx, steps[i].session);
                SSL_SESSION_free(steps[i].session);
            }
        }
        for (expired = 0; expired < SESSIONS_A_SECOND; expired++) {
            SSL_CTX_remove_session(ctx, expiring[expired]);
            SSL_SESSION_free(expiring[expired]);
        }
        spent += cpu_ns() - start;
    }
    result(spent / ((double)batches * BATCH));
}

static double flush_ms(uint32_t time)
{
    double start = cpu_ns();

    SSL_CTX_flush_sessions(ctx, (long)time);
    return (cpu_ns() - start) / 1e6;
}

static void flush(uint32_t sessions)
{
    double none, some, all;

    none = flush_ms(start_time);
    some = flush_ms(time_of(sessions / 100) + TIMEOUT);
    all = flush_ms(time_of(sessions) + TIMEOUT + 2);
    if (SSL_CTX_sess_number(ctx) != 0)
        die("flushed not all");
    printf("{\"value\":%.3f,\"parts\":{\"0 %%\":%.3f,\"1 %%\":%.3f,\"100 %%\":%.3f}}\n", none + some + all, none, some,
           all);
}

/* ---- set-up ---- */

static void read_template(const char *hex, const char *id_at, const char *time_at)
{
    unsigned int byte;

    for (; sscanf(hex, "%2x", &byte) == 1; hex += 2)
        template[template_length++] = (unsigned char)byte;
    id_offset = atol(id_at);
    time_offset = atol(time_at);
}

int main(int argc, char **argv)
{
    const char *operation = argc > 1 ? argv[1] : "";
    uint32_t sessions, batches;
    double before;

    if (strcmp(operation, "version") == 0) {
        puts(OpenSSL_version(OPENSSL_VERSION));
        return 0;
    }
    if (argc != 7)
        die("operation sessions batches template id-offset time-offset");
    sessions = (uint32_t)atol(argv[2]);
    batches = (uint32_t)atol(argv[3]);
    read_template(argv[4], argv[5], argv[6]);
    start_time = (uint32_t)time(NULL);
    /* An SSL looks up sessions of its own version, which is that of its method before a handshake. */
    ctx = SSL_CTX_new(TLSv1_2_server_method());
    if (ctx == NULL)
        die("no context");
    SSL_CTX_set_session_cache_mode(ctx, SSL_SESS_CACHE_SERVER);
    SSL_CTX_set_session_id_context(ctx, (const unsigned char *)"bench", 5);
    before = resident_bytes();
    fill(sessions);
    if (strcmp(operation, "memory") == 0)
        result((resident_bytes() - before) / sessions);
    ssl = SSL_new(ctx);
    if (ssl == NULL)
        die("no connection");
    if (strcmp(operation, "lookup") == 0)
        look_up(sessions, batches, 0, 1);
    else if (strcmp(operation, "miss") == 0)
        look_up(sessions, batches, ABSENT, 1);
    else if (strcmp(operation, "find") == 0)
        look_up(sessions, batches, 0, 0);
    else if (strcmp(operation, "find-absent") == 0)
        look_up(sessions, batches, ABSENT, 0);
    else if (strcmp(operation, "add") == 0)
        add(sessions, batches);
    else if (strcmp(operation, "mixed") == 0)
        mixed(sessions, batches, 1);
    else if (strcmp(operation, "mixed-find") == 0)
        mixed(sessions, batches, 0);
    else if (strcmp(operation, "flush") == 0)
        flush(sessions);
    return 0;
}
