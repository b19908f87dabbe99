/*
 * A server that ends handshakes as it should and does not stop then:
 *   rude-server PORT CERTIFICATE KEY tickets|many-tickets|renegotiation|key-updates
 * tickets sends one after another, 20 a second, for ever; many-tickets as fast as it can. One process for each connection.
 */
#include <arpa/inet.h>
#include <openssl/ssl.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <unistd.h>

static void step(SSL *ssl, const char *mode)
{
    char bytes[1024];
    if (strcmp(mode, "renegotiation") == 0) {
        SSL_renegotiate(ssl);
        if (SSL_do_handshake(ssl) <= 0 || SSL_read(ssl, bytes, sizeof bytes) == 0)
            exit(0);
        return;
    }
    if (strcmp(mode, "key-updates") == 0)
        SSL_key_update(ssl, SSL_KEY_UPDATE_NOT_REQUESTED);
    else
        SSL_new_session_ticket(ssl);
    if (SSL_do_handshake(ssl) <= 0)
        exit(0);
    if (strcmp(mode, "tickets") == 0)
        usleep(50000);
}

static void serve(SSL_CTX *ctx, int fd, const char *mode)
{
    SSL *ssl = SSL_new(ctx);
    prctl(PR_SET_PDEATHSIG, SIGKILL);
    SSL_set_fd(ssl, fd);
    if (SSL_accept(ssl) <= 0)
        exit(0);
    for (;;)
        step(ssl, mode);
}

int main(int argc, char **argv)
{
    struct sockaddr_in address = {.sin_family = AF_INET};
    int listener = socket(AF_INET, SOCK_STREAM, 0), on = 1;
    SSL_CTX *ctx = SSL_CTX_new(TLS_server_method());
    if (argc != 5)
        return 2;
    signal(SIGPIPE, SIG_IGN);
    signal(SIGCHLD, SIG_IGN);
    SSL_CTX_use_certificate_chain_file(ctx, argv[2]);
    SSL_CTX_use_PrivateKey_file(ctx, argv[3], SSL_FILETYPE_PEM);
    address.sin_port = htons((unsigned short)atoi(argv[1]));
    inet_pton(AF_INET, "127.0.0.1", &address.sin_addr);
    setsockopt(listener, SOL_SOCKET, SO_REUSEADDR, &on, sizeof on);
    if (bind(listener, (struct sockaddr *)&address, sizeof address) != 0 || listen(listener, 64) != 0)
        return 1;
    for (;;) {
        int fd = accept(listener, NULL, NULL);
        if (fork() == 0)
            serve(ctx, fd, argv[4]);
        close(fd);
    }
}
