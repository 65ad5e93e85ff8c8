#include "bench/twinbench/blocking.h"

#include <arpa/inet.h>
#include <netinet/in.h>
#include <poll.h>
#include <sys/socket.h>
#include <unistd.h>

#include "bench/client/loop.h"
#include "bench/twinbench/crowd.h"

namespace twinwire::bench {
namespace {

constexpr uint32_t kLimitMs = 5'000;
constexpr uint32_t kQuietMs = 100;
constexpr uint32_t kRoom = 9;  // of the lesson: as long a name as the first room's

}  // namespace

BlockingStream::~BlockingStream() {
  if (fd_ >= 0) close(fd_);
}

bool BlockingStream::open() {
  fd_ = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
  sockaddr_in address{};
  address.sin_family = AF_INET;
  address.sin_port = htons(to_.port);
  inet_pton(AF_INET, to_.host.c_str(), &address.sin_addr);
  return connect(fd_, reinterpret_cast<const sockaddr*>(&address), sizeof address) == 0;
}

bool BlockingStream::send(std::string_view bytes) {
  return ::send(fd_, bytes.data(), bytes.size(), MSG_NOSIGNAL) == static_cast<ssize_t>(bytes.size());
}

bool BlockingStream::fill(uint32_t limit_ms) {
  pollfd readable{fd_, POLLIN, 0};
  if (poll(&readable, 1, static_cast<int>(limit_ms)) <= 0) return false;
  char bytes[16384];
  const ssize_t n = recv(fd_, bytes, sizeof bytes, 0);
  if (n <= 0) return false;
  buffer_.append(bytes, static_cast<size_t>(n));
  return true;
}

std::string BlockingStream::until(std::string_view words, uint32_t limit_ms) {
  const client::Nanos limit = client::monotonic_now() + limit_ms * client::kMillisecond;
  size_t at = 0;
  while ((at = buffer_.find(words)) == std::string::npos) {
    if (client::monotonic_now() > limit || !fill(limit_ms)) return {};
  }
  std::string out = buffer_.substr(0, at + words.size());
  buffer_.erase(0, out.size());
  return out;
}

std::string BlockingStream::until_quiet(std::string_view words, uint32_t limit_ms, uint32_t quiet_ms) {
  std::string out = until(words, limit_ms);
  return out.empty() ? out : out + rest(quiet_ms);
}

std::string BlockingStream::rest(uint32_t quiet_ms) {
  while (fill(quiet_ms)) {
  }
  return std::exchange(buffer_, {});
}

std::string BlockingStream::ask(const client::Endpoint& to, const client::Request& request) {
  BlockingStream stream(to);
  if (!stream.open() || !stream.send(client::encode(request, to))) return {};
  return stream.rest(kLimitMs);
}

Result<Learned> learn(const client::Endpoint& to, const Dialect& ours, Form form, size_t content_bytes) {
  const std::string room = room_name(kRoom);
  BlockingStream reader(to);
  const client::Request request =
      reader_request(*ours.reading(form), form, {.room = room, .user = user_name('l', 1)});
  if (!reader.open() || !reader.send(client::encode(request, to)))
    return fail(Code::internal, "the server does not accept");
  Learned out;
  out.greeting = reader.until_quiet(ours.reading(form)->live, kLimitMs, kQuietMs);
  const std::string content = marked_content({0, 0}, content_bytes);
  const std::string publisher = user_name('S', 0);  // as long as the publishers' names in a run
  const Blanks blanks{.room = room, .user = publisher, .content = content};
  client::Request post;
  post.method = "POST";
  post.target = filled(ours.post->target, blanks);
  post.headers = ours.post->headers;
  post.headers.emplace_back("Connection", "close");
  post.body = filled(ours.post->body, blanks);
  if (BlockingStream::ask(to, post).find("\"success\":true") == std::string::npos)
    return fail(Code::internal, "the server refused a message");
  const std::string frame = reader.until_quiet(content, kLimitMs, kQuietMs);
  const size_t at = frame.find(content);
  if (out.greeting.empty() || at == std::string::npos)
    return fail(Code::internal, "the server's frame cannot be learned");
  out.frame_head = frame.substr(0, at);
  out.frame_tail = frame.substr(at + content.size());
  return out;
}

}  // namespace twinwire::bench
