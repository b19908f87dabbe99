/*
 * A TLS 1.3 client that names another server after a HelloRetryRequest.
 *   server-name-switch PORT GROUPS FIRST_NAME SECOND_NAME SESSION_IN|- SESSION_OUT|-
 * Prints "reused" or "full" when the handshake is done, and what the server says after that. With CERT and KEY in the
 * environment, files in PEM, it shows a certificate.
 */
#include <arpa/inet.h>
#include <openssl/pem.h>
#include <openssl/ssl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

static const char *second_name;
static const char *session_out;

static void on_message(int is_sent, int version, int type, const void *message, size_t length, SSL *ssl, void *arg)
{
    (void)version;
    (void)arg;
    /* The first ServerHello is the HelloRetryRequest: what is set now goes into the second ClientHello. */
    if (!is_sent && type == SSL3_RT_HANDSHAKE && length > 0 && *(const unsigned char *)message == SSL3_MT_SERVER_HELLO)
        SSL_set_tlsext_host_name(ssl, second_name);
}

static int on_session(SSL *ssl, SSL_SESSION *session)
{
    FILE *file;
    (void)ssl;
    if (strcmp(session_out, "-") == 0 || (file = fopen(session_out, "w")) == NULL)
        return 0;
    PEM_write_SSL_SESSION(file, session);
    fclose(file);
    return 0;
}

int main(int argc, char **argv)
{
    struct sockaddr_in address = {0};
    SSL_CTX *ctx = SSL_CTX_new(TLS_client_method());
    SSL *ssl;
    char buffer[256];
    int fd, length;

    if (argc != 7)
        return 2;
    second_name = argv[4];
    session_out = argv[6];
    SSL_CTX_set_min_proto_version(ctx, TLS1_3_VERSION);
    SSL_CTX_set1_groups_list(ctx, argv[2]);
    SSL_CTX_set_session_cache_mode(ctx, SSL_SESS_CACHE_CLIENT | SSL_SESS_CACHE_NO_INTERNAL);
    SSL_CTX_sess_set_new_cb(ctx, on_session);
    fd = socket(AF_INET, SOCK_STREAM, 0);
    address.sin_family = AF_INET;
    address.sin_port = htons((unsigned short)atoi(argv[1]));
    address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    if (connect(fd, (struct sockaddr *)&address, sizeof address) != 0)
        return 3;
    if (getenv("CERT") != NULL &&
        (SSL_CTX_use_certificate_file(ctx, getenv("CERT"), SSL_FILETYPE_PEM) != 1 ||
         SSL_CTX_use_PrivateKey_file(ctx, getenv("KEY"), SSL_FILETYPE_PEM) != 1))
        return 5;
    ssl = SSL_new(ctx);
    SSL_set_fd(ssl, fd);
    SSL_set_tlsext_host_name(ssl, argv[3]);
    SSL_set_msg_callback(ssl, on_message);
    if (strcmp(argv[5], "-") != 0) {
        FILE *file = fopen(argv[5], "r");
        SSL_SESSION *session = file == NULL ? NULL : PEM_read_SSL_SESSION(file, NULL, NULL, NULL);
        if (session == NULL)
            return 4;
        fclose(file);
        SSL_set_session(ssl, session);
    }
    if (SSL_connect(ssl) != 1) {
        puts("failed");
        return 1;
    }
    puts(SSL_session_reused(ssl) ? "reused" : "full");
    while ((length = SSL_read(ssl, buffer, sizeof buffer)) > 0)
        printf("%.*s\n", length, buffer);
    return 0;
}
