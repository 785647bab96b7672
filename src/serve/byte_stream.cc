#include "serve/byte_stream.h"

#include <openssl/err.h>
#include <openssl/ssl.h>
#include <openssl/x509err.h>

#include <boost/asio/ssl.hpp>

#include "base/error.h"
#include "base/mapped_file.h"

namespace glimmer::serve {
namespace {

namespace asio = boost::asio;

constexpr size_t kMaxPemBytes = size_t{1} << 20;

class PlainStream final : public ByteStream {
 public:
  explicit PlainStream(Socket socket) : socket_(std::move(socket)) {}

  void handshake(std::function<void(Error)> done) override { done({}); }
  void read_some(asio::mutable_buffer into, Done done) override { socket_.async_read_some(into, std::move(done)); }
  void write_some(asio::const_buffer from, Done done) override { socket_.async_write_some(from, std::move(done)); }
  void end_sending(std::function<void()> done) override {
    Error ignored;
    socket_.shutdown(Socket::shutdown_send, ignored);
    done();
  }
  Socket& socket() override { return socket_; }

 private:
  Socket socket_;
};

class PlainStreams final : public StreamFactory {
 public:
  std::unique_ptr<ByteStream> make(ByteStream::Socket socket) override {
    return std::make_unique<PlainStream>(std::move(socket));
  }
};

class TlsStream final : public ByteStream {
 public:
  TlsStream(Socket socket, asio::ssl::context& context) : stream_(std::move(socket), context) {}

  void handshake(std::function<void(Error)> done) override {
    stream_.async_handshake(asio::ssl::stream_base::server, std::move(done));
  }
  void read_some(asio::mutable_buffer into, Done done) override { stream_.async_read_some(into, std::move(done)); }
  void write_some(asio::const_buffer from, Done done) override { stream_.async_write_some(from, std::move(done)); }
  void end_sending(std::function<void()> done) override {
    // Sends close_notify, and waits for the peer's: the connection's deadline bounds that.
    stream_.async_shutdown([done = std::move(done)](const Error&) { done(); });
  }
  Socket& socket() override { return stream_.next_layer(); }

 private:
  asio::ssl::stream<Socket> stream_;
};

class TlsStreams final : public StreamFactory {
 public:
  explicit TlsStreams(const TlsFiles& files) : context_(asio::ssl::context::tls_server) {
    SSL_CTX* native = context_.native_handle();
    SSL_CTX_set_min_proto_version(native, TLS1_2_VERSION);
    // No renegotiation, which only costs; buffers of idle connections are freed.
    SSL_CTX_set_options(native, SSL_OP_NO_RENEGOTIATION | SSL_OP_NO_COMPRESSION | SSL_OP_CIPHER_SERVER_PREFERENCE);
    SSL_CTX_set_mode(native, SSL_MODE_RELEASE_BUFFERS);
    SSL_CTX_set_alpn_select_cb(native, choose_protocol, nullptr);
    use_files(files);
  }

  std::unique_ptr<ByteStream> make(ByteStream::Socket socket) override {
    return std::make_unique<TlsStream>(std::move(socket), context_);
  }

 private:
  static int choose_protocol(SSL*, const unsigned char** out, unsigned char* out_size, const unsigned char* in,
                             unsigned int in_size, void*) {
    static constexpr unsigned char kHttp11[] = {8, 'h', 't', 't', 'p', '/', '1', '.', '1'};
    unsigned char* chosen = nullptr;
    if (SSL_select_next_proto(&chosen, out_size, kHttp11, sizeof kHttp11, in, in_size) != OPENSSL_NPN_NEGOTIATED) {
      return SSL_TLSEXT_ERR_NOACK;
    }
    *out = chosen;
    return SSL_TLSEXT_ERR_OK;
  }

  void use_files(const TlsFiles& files) {
    const std::string certificate = files.certificate.string();
    const std::string key = files.key.string();
    bool asked = false;  // for a passphrase; OpenSSL itself would ask the terminal
    context_.set_password_callback([&asked](size_t, asio::ssl::context::password_purpose) {
      asked = true;
      return std::string();
    });
    ByteStream::Error error;
    context_.use_certificate_chain(asio::buffer(read_file(certificate, kMaxPemBytes)), error);
    if (error) fail(ErrorCode::kIo, "{}: cannot be used as a certificate in PEM: {}", certificate, error.message());
    context_.use_private_key(asio::buffer(read_file(key, kMaxPemBytes)), asio::ssl::context::pem, error);
    if (asked) {
      fail(ErrorCode::kIo, "{}: is protected by a passphrase; `openssl pkey -in FILE -out FILE` makes one without",
           key);
    }
    const int reason = ERR_GET_REASON(static_cast<unsigned long>(error.value()));
    const bool is_of_another = error && (reason == X509_R_KEY_VALUES_MISMATCH || reason == X509_R_KEY_TYPE_MISMATCH);
    if (error && !is_of_another)
      fail(ErrorCode::kIo, "{}: cannot be used as a private key in PEM: {}", key, error.message());
    if (is_of_another || SSL_CTX_check_private_key(context_.native_handle()) != 1) {
      fail(ErrorCode::kIo, "{}: is not the key of the certificate {}", key, certificate);
    }
    context_.set_password_callback([](size_t, asio::ssl::context::password_purpose) { return std::string(); });
  }

  asio::ssl::context context_;
};

}  // namespace

void ByteStream::close() {
  Error ignored;
  socket().close(ignored);
}

std::unique_ptr<StreamFactory> plain_streams() { return std::make_unique<PlainStreams>(); }

std::unique_ptr<StreamFactory> tls_streams(const TlsFiles& files) { return std::make_unique<TlsStreams>(files); }

}  // namespace glimmer::serve
