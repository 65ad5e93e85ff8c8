#include "tools/twinctl/admin.h"

#include <arpa/inet.h>
#include <fmt/format.h>
#include <sys/socket.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstring>
#include <fstream>
#include <optional>

#include "bench/client/event.h"
#include "bench/client/sse.h"
#include "bench/client/text.h"
#include "tools/twinctl/show.h"

namespace twinwire::ctl {
namespace {

constexpr size_t kReadBytes = 64 * 1024;
constexpr timeval kAnswerLimit{15, 0};
constexpr timeval kSilenceLimit{60, 0};  // of a stream, whose heartbeat is far below

// A connected socket that closes itself.
class Connection {
 public:
  ~Connection() {
    if (fd_ >= 0) close(fd_);
  }
  Result<void> open(const Access& access, timeval limit);
  Result<void> send(std::string_view bytes);
  // Empty at the end.
  Result<std::string_view> receive();

 private:
  int fd_ = -1;
  std::string buffer_;
};

Error cannot_connect(const Access& access, int error) {
  return fail(
      Code::not_found,
      fmt::format("Cannot connect to http://{}: {}.\n"
                  "Is the server running? Start it with `twinwire serve`; its first line names the admin "
                  "address for --url.",
                  access.to.authority(), std::strerror(error)));
}

struct SocketAddress {
  sockaddr_storage storage{};
  socklen_t size = 0;
};

std::optional<SocketAddress> address_of(const client::Endpoint& to) {
  SocketAddress out;
  auto& four = reinterpret_cast<sockaddr_in&>(out.storage);
  auto& six = reinterpret_cast<sockaddr_in6&>(out.storage);
  if (to.host.size() > 2 && to.host.front() == '[' && to.host.back() == ']') {
    six.sin6_family = AF_INET6;
    six.sin6_port = htons(to.port);
    out.size = sizeof six;
    if (inet_pton(AF_INET6, to.host.substr(1, to.host.size() - 2).c_str(), &six.sin6_addr) != 1) return {};
  } else {
    four.sin_family = AF_INET;
    four.sin_port = htons(to.port);
    out.size = sizeof four;
    if (inet_pton(AF_INET, to.host.c_str(), &four.sin_addr) != 1) return {};
  }
  return out;
}

Result<void> Connection::open(const Access& access, timeval limit) {
  const std::optional<SocketAddress> address = address_of(access.to);
  if (!address) {
    return fail(
        Code::invalid_argument,
        fmt::format("\"{}\" is no address like 127.0.0.1 or [::1]; names other than localhost are not "
                    "looked up.",
                    access.to.host));
  }
  fd_ = socket(address->storage.ss_family, SOCK_STREAM | SOCK_CLOEXEC, 0);
  if (fd_ < 0) return cannot_connect(access, errno);
  setsockopt(fd_, SOL_SOCKET, SO_RCVTIMEO, &limit, sizeof limit);
  setsockopt(fd_, SOL_SOCKET, SO_SNDTIMEO, &limit, sizeof limit);
  if (connect(fd_, reinterpret_cast<const sockaddr*>(&address->storage), address->size) != 0) {
    return cannot_connect(access, errno);
  }
  return {};
}

Result<void> Connection::send(std::string_view bytes) {
  while (!bytes.empty()) {
    const ssize_t n = ::send(fd_, bytes.data(), bytes.size(), MSG_NOSIGNAL);
    if (n < 0 && errno == EINTR) continue;
    if (n < 0) return fail(Code::internal, fmt::format("The connection broke: {}.", std::strerror(errno)));
    bytes.remove_prefix(static_cast<size_t>(n));
  }
  return {};
}

Result<std::string_view> Connection::receive() {
  buffer_.resize(kReadBytes);
  ssize_t n = 0;
  do {
    n = recv(fd_, buffer_.data(), buffer_.size(), 0);
  } while (n < 0 && errno == EINTR);
  if (n < 0 && (errno == EAGAIN || errno == EWOULDBLOCK)) {
    return fail(Code::overloaded, "The server is connected but does not answer.");
  }
  if (n < 0) return fail(Code::internal, fmt::format("The connection broke: {}.", std::strerror(errno)));
  return std::string_view(buffer_).substr(0, static_cast<size_t>(n));
}

client::Request with_token(client::Request request, const Access& access, std::string_view accept) {
  request.headers.emplace_back("Accept", accept);
  request.headers.emplace_back("Connection", "close");
  if (!access.token.empty()) request.headers.emplace_back("Authorization", "Bearer " + access.token);
  return request;
}

// What a status other than success means, in the server's words where it has some.
Error refusal(const Access& access, int status, const std::string& body) {
  if (status == 401) {
    const std::string_view problem =
        access.token.empty() ? "wants a token and none was found" : "did not accept the token";
    return fail(
        Code::unauthenticated,
        fmt::format(
            "The server {} ({}).\nThe token is in the file admin.token of the server's data directory: "
            "pass --data DIR, --token TOKEN, or set TWINCTL_TOKEN.",
            problem, access.token_origin));
  }
  client::JsonReader reader;
  const std::optional<client::Json> json = reader.read(body);
  const std::string_view sentence = json ? client::text_at(*json, "error") : std::string_view();
  // The public listener knows no such path; where the operators' one says 404, it means what was asked for.
  const bool no_such_path = status == 404 && (sentence.empty() || sentence.starts_with("there is nothing"));
  const std::string_view hint = no_such_path ? " Is --url the admin address, not the public one?" : "";
  if (!sentence.empty()) {
    return fail(Code::invalid_argument,
                fmt::format("{} ({}).{}", printable(sentence), client::text_at(*json, "code"), hint));
  }
  return fail(Code::invalid_argument, fmt::format("The server answered with status {}.{}", status, hint));
}

struct Answer : client::ResponseParser::Sink {
  void on_head(const client::ResponseHead& head) override { status = head.status; }
  void on_body(std::string_view bytes) override {
    if (status == 200 && stream != nullptr) {
      in_bounds = stream->feed(bytes) && in_bounds;
    } else {
      body.append(bytes);
    }
  }
  void on_complete() override { complete = true; }
  int status = 0;
  std::string body;
  bool complete = false;
  bool in_bounds = true;
  client::SseParser* stream = nullptr;
};

Result<void> feed(client::ResponseParser& parser, const Answer& answer, std::string_view bytes) {
  while (!bytes.empty() && !answer.complete) {
    const Result<size_t> taken = parser.feed(bytes);
    if (!taken) return taken.error();
    bytes.remove_prefix(*taken);
  }
  return {};
}

struct Follower : client::SseParser::Sink {
  explicit Follower(const OnEvent& handler) : on_event(handler) {}
  void on_block(const client::SseParser::Block& block) override {
    if (!stopped) stopped = !on_event(block.data, block.last_event_id);
  }
  const OnEvent& on_event;
  bool stopped = false;
};

}  // namespace

// What has no brackets is as other clients of ours read it.
Result<client::Endpoint> admin_address(std::string_view url) {
  std::string_view rest = url;
  if (rest.starts_with("http://")) rest.remove_prefix(7);
  const std::string_view authority = rest.substr(0, rest.find('/'));
  if (!authority.starts_with('[')) {
    if (std::count(authority.begin(), authority.end(), ':') > 1)
      return fail(Code::invalid_argument,
                  fmt::format("\"{}\": an IPv6 address stands in brackets, like [::1]:8081.", url));
    return client::parse_endpoint(url);
  }
  const size_t end = authority.find(']');
  in6_addr six;
  if (end == std::string_view::npos ||
      inet_pton(AF_INET6, std::string(authority.substr(1, end - 1)).c_str(), &six) != 1)
    return fail(Code::invalid_argument, fmt::format("\"{}\" is not an IPv6 address.", url));
  const std::string_view behind = authority.substr(end + 1);
  Result<client::Endpoint> out = client::parse_endpoint("localhost" + std::string(behind));
  if (!out || (!behind.empty() && behind.front() != ':'))
    return fail(Code::invalid_argument, fmt::format("\"{}\" has no valid port.", url));
  out->host = std::string(authority.substr(0, end + 1));
  return out;
}

void find_token(const TokenSources& sources, Access& access) {
  if (!sources.option.empty()) {
    access.token = sources.option;
    access.token_origin = "it was given by --token";
    return;
  }
  if (!sources.environment.empty()) {
    access.token = sources.environment;
    access.token_origin = "it was taken from TWINCTL_TOKEN";
    return;
  }
  const std::string path = sources.data_folder + "/admin.token";
  std::ifstream in(path);
  access.token.clear();
  std::getline(in, access.token);
  access.token_origin = fmt::format("{} {}", in ? "it was read from" : "there is no readable", path);
}

Result<std::string> request(const Access& access, client::Request request) {
  Connection connection;
  if (Result<void> opened = connection.open(access, kAnswerLimit); !opened) return opened.error();
  const std::string bytes =
      client::encode(with_token(std::move(request), access, "application/json"), access.to);
  if (Result<void> sent = connection.send(bytes); !sent) return sent.error();
  Answer answer;
  client::ResponseParser parser(answer);
  while (!answer.complete) {
    const Result<std::string_view> got = connection.receive();
    if (!got) return got.error();
    if (Result<void> fed = feed(parser, answer, *got); !fed) return fed.error();
    if (!got->empty()) continue;
    if (Result<void> ended = parser.finish(); !ended) return ended.error();
    break;
  }
  if (answer.status == 0) return fail(Code::internal, "The server closed the connection without an answer.");
  if (answer.status != 200 && answer.status != 201) return refusal(access, answer.status, answer.body);
  return std::move(answer.body);
}

Result<bool> follow(const Access& access, const std::string& target, const OnEvent& on_event) {
  Connection connection;
  if (Result<void> opened = connection.open(access, kSilenceLimit); !opened) return opened.error();
  client::Request request;
  request.target = target;
  const std::string bytes =
      client::encode(with_token(std::move(request), access, "text/event-stream"), access.to);
  if (Result<void> sent = connection.send(bytes); !sent) return sent.error();
  Follower follower(on_event);
  client::SseParser sse(follower);
  Answer answer;
  answer.stream = &sse;
  client::ResponseParser parser(answer);
  while (!answer.complete && !follower.stopped) {
    const Result<std::string_view> got = connection.receive();
    if (!got) return got.error();
    if (got->empty()) break;
    if (Result<void> fed = feed(parser, answer, *got); !fed) return fed.error();
    if (!answer.in_bounds) return fail(Code::too_large, "The server sent an event above 4 MiB.");
  }
  if (answer.status != 0 && answer.status != 200) return refusal(access, answer.status, answer.body);
  return follower.stopped;
}

}  // namespace twinwire::ctl
