#include "net/origin.h"

#include <arpa/inet.h>

#include <algorithm>

namespace twinwire {
namespace {

std::string lower_case(std::string_view text) {
  std::string out(text);
  for (char& c : out) {
    if (c >= 'A' && c <= 'Z') c = static_cast<char>(c + 32);
  }
  return out;
}

// Without the port, IPv6 brackets kept.
std::string_view without_port(std::string_view host) {
  size_t bracket = host.rfind(']');
  size_t colon = host.find(':', bracket == std::string_view::npos ? 0 : bracket);
  return host.substr(0, colon);
}

bool is_address(const std::string& host) {
  in_addr four;
  in6_addr six;
  if (inet_pton(AF_INET, host.c_str(), &four) == 1) return true;
  return host.size() > 2 && host.front() == '[' && host.back() == ']' &&
         inet_pton(AF_INET6, host.substr(1, host.size() - 2).c_str(), &six) == 1;
}

bool contains(const std::vector<std::string>& list, const std::string& item) {
  return std::find(list.begin(), list.end(), item) != list.end();
}

}  // namespace

std::string normal_origin(std::string_view origin) {
  std::string out = lower_case(origin);
  if (out.ends_with('/')) out.pop_back();
  if (out.starts_with("http://") && out.ends_with(":80")) out.resize(out.size() - 3);
  if (out.starts_with("https://") && out.ends_with(":443")) out.resize(out.size() - 4);
  return out;
}

OriginPolicy::OriginPolicy(const OriginOptions& options) {
  for (const std::string& origin : options.allow) {
    if (origin == "*") {
      // Host is looked at so that a page whose name is pointed at us cannot pass for one of ours. Where pages
      // of any origin may come as themselves, that keeps nobody out, but everyone who knows us by a name.
      any_origin_ = any_host_ = true;
      continue;
    }
    origins_.push_back(normal_origin(origin));
    if (size_t scheme = origins_.back().find("://"); scheme != std::string::npos) {
      hosts_.emplace_back(without_port(std::string_view(origins_.back()).substr(scheme + 3)));
    }
  }
  for (const std::string& host : options.hosts) {
    if (host == "*") any_host_ = true;
    hosts_.push_back(lower_case(without_port(host)));
  }
}

bool OriginPolicy::host_allowed(std::string_view host) const {
  if (any_host_ || host.empty()) return true;
  std::string name = lower_case(without_port(host));
  if (name.ends_with('.')) name.pop_back();
  return name == "localhost" || name.ends_with(".localhost") || is_address(name) || contains(hosts_, name);
}

bool OriginPolicy::origin_allowed(std::string_view origin, std::string_view host) const {
  return any_origin_ || origin_named(origin, host);
}

bool OriginPolicy::origin_named(std::string_view origin, std::string_view host) const {
  std::string normal = normal_origin(origin);
  if (contains(origins_, normal)) return true;
  // Same origin: what the browser calls us is what the page was loaded from. Behind a TLS proxy the scheme is
  // https.
  return !host.empty() && (normal == normal_origin("http://" + std::string(host)) ||
                           normal == normal_origin("https://" + std::string(host)));
}

OriginPolicy::Verdict OriginPolicy::check(const HttpRequest& request) const {
  if (!host_allowed(request.host)) return Verdict::bad_host;
  if (auto origin = request.field("origin")) {
    return origin_allowed(*origin, request.host) ? Verdict::allowed : Verdict::foreign_origin;
  }
  if (request.field("sec-fetch-site") == "cross-site" && request.field("sec-fetch-mode") != "navigate" &&
      !any_origin_) {
    return Verdict::foreign_origin;
  }
  return Verdict::allowed;
}

bool OriginPolicy::is_ours(const HttpRequest& request) const {
  if (auto origin = request.field("origin")) return origin_named(*origin, request.host);
  return request.field("sec-fetch-site") != "cross-site";
}

void OriginPolicy::append_cors(std::string& out, const HttpRequest& request) const {
  auto origin = request.field("origin");
  if (!origin || !origin_allowed(*origin, request.host)) return;
  out.append("Access-Control-Allow-Origin: ").append(*origin);
  out +=
      "\r\nAccess-Control-Allow-Credentials: true\r\nAccess-Control-Expose-Headers: Retry-After\r\nVary: "
      "Origin\r\n";
}

void OriginPolicy::append_preflight(std::string& out, const HttpRequest& request) const {
  append_cors(out, request);
  out +=
      "Access-Control-Allow-Methods: GET, HEAD, POST, OPTIONS\r\n"
      "Access-Control-Allow-Headers: Authorization, Content-Type, Idempotency-Key, Last-Event-ID, "
      "Twinwire-Session, Cache-Control\r\n"
      "Access-Control-Max-Age: 600\r\n";
}

}  // namespace twinwire
