// A TCP connection with or without TLS behind one interface. Operations complete on the I/O thread; at most one read
// and one write at a time.
#pragma once

#include <boost/asio/buffer.hpp>
#include <boost/asio/io_context.hpp>
#include <boost/asio/ip/tcp.hpp>
#include <functional>
#include <memory>

#include "serve/tls.h"

namespace glimmer::serve {

class ByteStream {
 public:
  using Error = boost::system::error_code;
  using Done = std::function<void(Error error, size_t bytes)>;
  using Socket = boost::asio::ip::tcp::socket;

  virtual ~ByteStream() = default;
  virtual void handshake(std::function<void(Error error)> done) = 0;
  virtual void read_some(boost::asio::mutable_buffer into, Done done) = 0;
  virtual void write_some(boost::asio::const_buffer from, Done done) = 0;
  // Half-closes the connection. Nothing may be written after it.
  virtual void end_sending(std::function<void()> done) = 0;
  virtual Socket& socket() = 0;

  void close();
};

// One for all connections of a server.
class StreamFactory {
 public:
  virtual ~StreamFactory() = default;
  virtual std::unique_ptr<ByteStream> make(ByteStream::Socket socket) = 0;
};

std::unique_ptr<StreamFactory> plain_streams();
std::unique_ptr<StreamFactory> tls_streams(const TlsFiles& files);  // throws kIo naming the file

}  // namespace glimmer::serve
