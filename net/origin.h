// Who may talk to this server from inside a browser: the checks of Host and Origin, and the CORS fields of
// answers. In mode none there is no secret that a foreign page would lack, and any page can reach a server on
// the visitor's own machine; so Host must be a name that no attacker's DNS can point here (an address,
// localhost, or a configured name), and Origin, where a browser sends it, must be ours or listed. Constant
// after construction; any thread.
#pragma once

#include <string>
#include <string_view>
#include <vector>

#include "net/http.h"

namespace twinwire {

struct OriginOptions {
  // "https://app.example.com", or "*" for all, and then for every Host too. Compared as scheme, host and
  // port.
  std::vector<std::string> allow;
  // Names besides addresses and localhost that Host may hold; those of `allow` count too. "*" for all.
  std::vector<std::string> hosts;
};

class OriginPolicy {
 public:
  explicit OriginPolicy(const OriginOptions& options);

  // `host` as in the Host field, with or without port. An empty one (HTTP/1.0) passes: no browser sends that.
  bool host_allowed(std::string_view host) const;
  // `origin` as in the Origin field, `host` as in the Host field. "null" only if listed.
  bool origin_allowed(std::string_view origin, std::string_view host) const;
  bool origin_named(std::string_view origin, std::string_view host) const;

  enum class Verdict : uint8_t { allowed, bad_host, foreign_origin };
  // Both checks. A request without Origin passes unless the browser says that another site sent it
  // (Sec-Fetch-Site) and it is no navigation.
  Verdict check(const HttpRequest& request) const;
  // Whether a browser that sent this was on a page of ours, or of an origin that is listed by name ("*" is
  // not enough), or it was no browser. What counts where cookies are the proof.
  bool is_ours(const HttpRequest& request) const;

  // Appends the CORS fields for an allowed origin (nothing without Origin): the origin itself, never "*",
  // since cookies may be used.
  void append_cors(std::string& out, const HttpRequest& request) const;
  // The same for the answer to a preflight (OPTIONS with Access-Control-Request-Method).
  void append_preflight(std::string& out, const HttpRequest& request) const;

 private:
  bool any_origin_ = false;
  bool any_host_ = false;
  std::vector<std::string> origins_;  // lower case, without a default port
  std::vector<std::string> hosts_;    // lower case, without port
};

// Lower case, default port of http and https removed: "HTTP://LocalHost:80" is "http://localhost".
std::string normal_origin(std::string_view origin);

}  // namespace twinwire
