import java.io.ByteArrayInputStream;
import java.net.InetAddress;
import java.net.Socket;
import java.nio.charset.StandardCharsets;
import java.nio.file.Files;
import java.nio.file.Path;
import java.security.KeyFactory;
import java.security.KeyStore;
import java.security.PrivateKey;
import java.security.cert.Certificate;
import java.security.cert.CertificateFactory;
import java.security.spec.PKCS8EncodedKeySpec;
import java.util.Arrays;
import java.util.Base64;
import javax.net.ssl.KeyManagerFactory;
import javax.net.ssl.SSLContext;
import javax.net.ssl.SSLSocket;
import javax.net.ssl.TrustManagerFactory;

/**
 * Asks for each path on a connection of its own, with one SSLContext; prints whether it was resumed.
 *
 * Arguments: server name, port, files of the authority, the client's certificate and key ("" for none), paths.
 */
public class JavaClient {
    public static void main(String[] arguments) throws Exception {
        SSLContext context = makeContext(arguments[2], arguments[3], arguments[4]);
        for (String path : Arrays.copyOfRange(arguments, 5, arguments.length))
            System.out.println(visit(context, arguments[0], Integer.parseInt(arguments[1]), path));
    }

    /** JSSE does not tell, but a session that was resumed is as old as its first handshake. */
    private static boolean visit(SSLContext context, String serverName, int port, String path) throws Exception {
        long began = System.currentTimeMillis();
        Socket plain = new Socket(InetAddress.getLoopbackAddress(), port);
        // Sessions are kept under this name and port.
        try (SSLSocket socket = (SSLSocket) context.getSocketFactory().createSocket(plain, serverName, port, true)) {
            String request = "GET " + path + " HTTP/1.1\r\nHost: " + serverName + "\r\nConnection: close\r\n\r\n";
            socket.getOutputStream().write(request.getBytes(StandardCharsets.US_ASCII));
            socket.getInputStream().readAllBytes();
            return socket.getSession().getCreationTime() < began;
        }
    }

    private static SSLContext makeContext(String authority, String certificate, String key) throws Exception {
        KeyStore trusted = makeKeyStore();
        trusted.setCertificateEntry("authority", readCertificate(authority));
        TrustManagerFactory trustManagers = TrustManagerFactory.getInstance("PKIX");
        trustManagers.init(trusted);
        KeyStore own = makeKeyStore();
        if (!certificate.isEmpty()) {
            Certificate chain = readCertificate(certificate);
            PrivateKey privateKey = readKey(key, chain.getPublicKey().getAlgorithm());
            own.setKeyEntry("client", privateKey, new char[0], new Certificate[] {chain});
        }
        KeyManagerFactory keyManagers = KeyManagerFactory.getInstance("PKIX");
        keyManagers.init(own, new char[0]);
        SSLContext context = SSLContext.getInstance("TLS");
        context.init(keyManagers.getKeyManagers(), trustManagers.getTrustManagers(), null);
        return context;
    }

    private static KeyStore makeKeyStore() throws Exception {
        KeyStore store = KeyStore.getInstance("PKCS12");
        store.load(null, null);
        return store;
    }

    private static Certificate readCertificate(String file) throws Exception {
        byte[] pem = Files.readAllBytes(Path.of(file));
        return CertificateFactory.getInstance("X.509").generateCertificate(new ByteArrayInputStream(pem));
    }

    private static PrivateKey readKey(String file, String algorithm) throws Exception {
        String base64 = Files.readString(Path.of(file)).replaceAll("-----[A-Z ]+-----|\\s", "");
        return KeyFactory.getInstance(algorithm).generatePrivate(new PKCS8EncodedKeySpec(Base64.getDecoder().decode(base64)));
    }
}
