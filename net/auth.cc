#include "net/auth.h"

#include "core/command.h"

namespace twinwire {
namespace {

// Mode none: clients name themselves.
class NamedByThemselves : public Authenticator {
 public:
  explicit NamedByThemselves(const Config& config) : config_(config) {}

  bool brought(const Credentials& credentials) const override { return !credentials.user_id.empty(); }

  Result<Identity> check(const Credentials& credentials) const override {
    if (credentials.user_id.empty()) {
      return fail(Code::unauthenticated, "say who you are: id=NAME, or an auth message with userId");
    }
    if (auto ok = check_name("id", credentials.user_id, config_.limits.user_id_bytes); !ok) return ok.error();
    if (!credentials.user_name.empty()) {
      if (auto ok = check_name("userName", credentials.user_name, config_.limits.user_id_bytes); !ok)
        return ok.error();
    }
    Identity who;
    who.user = Name(config_.server.tenant, credentials.user_id);
    who.display_name = credentials.user_name;
    return who;
  }

 private:
  const Config& config_;
};

}  // namespace

std::unique_ptr<Authenticator> make_authenticator(const Config& config) {
  switch (config.auth.mode) {
    case AuthMode::none:
    case AuthMode::jwt:
      return std::make_unique<NamedByThemselves>(config);
  }
  return nullptr;
}

}  // namespace twinwire
