// Tokens: the vectors of RFC 7515 (A.1 to A.3) and RFC 8037 (A.4), keys in all their forms, and everything
// that a forger may try.
#include "net/jwt.h"

#include <gtest/gtest.h>
#include <openssl/pem.h>

#include "net/base64url.h"

namespace twinwire {
namespace {

constexpr std::string_view kPayload =
    "eyJpc3MiOiJqb2UiLA0KICJleHAiOjEzMDA4MTkzODAsDQogImh0dHA6Ly9leGFtcGxlLmNvbS9pc19yb290Ijp0cnVlfQ";
constexpr uint64_t kBefore = 1300819000'000;  // before the exp of these vectors

constexpr std::string_view kOct =
    R"({"kty":"oct","k":"AyM1SysPpbyDfgZld3umj1qzKObwVMkoqQ-EstJQLr_T-1qS0gZH75aKtMN3Yj0iPS4hcgUuTwjAzZr1Z9CAow"})";
constexpr std::string_view kRsa =
    R"({"kty":"RSA","n":"ofgWCuLjybRlzo0tZWJjNiuSfb4p4fAkd_wWJcyQoTbji9k0l8W26mPddxHmfHQp-Vaw-4qPCJrcS2mJPMEzP1Pt0Bm4d4QlL-yRT-SFd2lZS-pCgNMsD1W_YpRPEwOWvG6b32690r2jZ47soMZo9wGzjb_7OMg0LOL-bSf63kpaSHSXndS5z5rexMdbBYUsLA9e-KXBdQOS-UTo7WTBEMa2R2CapHg665xsmtdVMTBQY4uDZlxvb3qCo5ZwKh9kG4LT6_I5IhlJH7aGhyxXFvUK-DWNmoudF8NAco9_h9iaGNj8q2ethFkMLs91kzk2PAcDTW9gb54h4FRWyuXpoQ","e":"AQAB"})";
constexpr std::string_view kEc =
    R"({"kty":"EC","crv":"P-256","x":"f83OJ3D2xF1Bg8vub9tLe1gHMzV76e8Tus9uPHvRVEU","y":"x_FEzRu9m36HLN_tue659LNpXW6pCyStikYjKIWI5a0"})";
constexpr std::string_view kEd =
    R"({"kty":"OKP","crv":"Ed25519","x":"11qYAYKxCrfVS_7TyWQHOg7hcvPapiMlrwIaaPcHURo"})";

const std::string kHsToken = "eyJ0eXAiOiJKV1QiLA0KICJhbGciOiJIUzI1NiJ9." + std::string(kPayload) +
                             ".dBjftJeZ4CVP-mB92K27uhbUJU1p1r_wW1gFWFOEjXk";
const std::string kRsToken =
    "eyJhbGciOiJSUzI1NiJ9." + std::string(kPayload) +
    ".cC4hiUPoj9Eetdgtv3hF80EGrhuB__dzERat0XF9g2VtQgr9PJbu3XOiZj5RZmh7AAuHIm4Bh-0Qc_lF5YKt_"
    "O8W2Fp5jujGbds9uJdb"
    "F9CUAr7t1dnZcAcQjbKBYNX4BAynRFdiuB--f_nZLgrnbyTyWzO75vRK5h6xBArLIARNPvkSjtQBMHlb1L07Qe7K0GarZRmB_"
    "eSN9383Lc"
    "OLn6_dO--xi12jzDwusC-"
    "eOkHWEsqtFZESc6BfI7noOPqvhJ1phCnvWh6IeYI2w9QOYEUipUTI8np6LbgGY9Fs98rqVt5AXLIhWkWywlVm"
    "tVrBp0igcN_IoypGlUPQGe77Rw";
const std::string kEsToken =
    "eyJhbGciOiJFUzI1NiJ9." + std::string(kPayload) +
    ".DtEhU3ljbEg8L38VWAfUAqOyKAM6-Xx-F4GawxaepmXFCgfTjDxw5djxLa8ISlSApmWQxfKTUJqPP3-Kg6NU1Q";
const std::string kEdToken =
    "eyJhbGciOiJFZERTQSJ9.RXhhbXBsZSBvZiBFZDI1NTE5IHNpZ25pbmc."
    "hgyY0il_MGCjP0JzlnLWG1PPOt7-09PGcvMg3AIbQR6dWbhijcNR4ki4iylGjg5BhVsPt9g7sVvpAr_MuM0KAg";

std::vector<JwtKey> keys(std::string_view text) {
  auto read = read_jwt_keys(text, "test");
  EXPECT_TRUE(read) << read.error().sentence;
  return read ? *read : std::vector<JwtKey>();
}

JwtVerifier verifier(std::vector<JwtAlgorithm> algorithms, std::string_view key) {
  JwtRules rules;
  rules.algorithms = std::move(algorithms);
  return {std::move(rules), keys(key)};
}

void expect_refused(const JwtVerifier& verifier, std::string_view token, std::string_view why) {
  auto payload = verifier.open(token);
  ASSERT_FALSE(payload) << token;
  EXPECT_EQ(payload.error().code, Code::unauthenticated);
  EXPECT_NE(payload.error().sentence.find(why), std::string::npos) << payload.error().sentence;
}

// A pair made for this test: the private key for sign_jwt, the public one as PEM.
struct Pair {
  JwtKey secret;
  std::string public_pem, private_pem;
};
std::string public_pem_of(EVP_PKEY* key) {
  BIO* bio = BIO_new(BIO_s_mem());
  PEM_write_bio_PUBKEY(bio, key);
  char* data = nullptr;
  long size = BIO_get_mem_data(bio, &data);
  std::string pem(data, static_cast<size_t>(size));
  BIO_free(bio);
  return pem;
}
Pair make_pair(EVP_PKEY* key) {
  Pair pair;
  pair.public_pem = public_pem_of(key);
  char* data = nullptr;
  BIO* bio = BIO_new(BIO_s_mem());
  PEM_write_bio_PrivateKey(bio, key, nullptr, nullptr, 0, nullptr, nullptr);
  long size = BIO_get_mem_data(bio, &data);
  pair.private_pem.assign(data, static_cast<size_t>(size));
  BIO_free(bio);
  EVP_PKEY_free(key);
  auto read = read_jwt_private_key(pair.private_pem, "test");
  EXPECT_TRUE(read) << read.error().sentence;
  pair.secret = *read;
  return pair;
}

TEST(Base64Url, IsStrict) {
  EXPECT_EQ(decode_base64url("_-8"), std::string("\xff\xef"));
  EXPECT_EQ(encode_base64url("\xff\xef"), "_-8");
  EXPECT_EQ(decode_base64url(""), "");
  for (std::string_view bad : {"_-8=", "_/8", "_+8", "_", "_-9", "a b", "YWJ\n"})
    EXPECT_FALSE(decode_base64url(bad)) << bad;
}

TEST(Jwt, VectorsOfTheStandards) {
  struct Case {
    JwtAlgorithm algorithm;
    std::string_view key;
    const std::string& token;
  };
  for (const Case& c : {Case{JwtAlgorithm::hs256, kOct, kHsToken}, Case{JwtAlgorithm::rs256, kRsa, kRsToken},
                        Case{JwtAlgorithm::es256, kEc, kEsToken}, Case{JwtAlgorithm::eddsa, kEd, kEdToken}}) {
    JwtVerifier right = verifier({c.algorithm}, c.key);
    auto payload = right.open(c.token);
    ASSERT_TRUE(payload) << word_of(c.algorithm) << ": " << payload.error().sentence;
    if (c.algorithm == JwtAlgorithm::eddsa) {
      EXPECT_EQ(*payload, "Example of Ed25519 signing");
    } else {
      EXPECT_TRUE(right.check_claims(*payload, kBefore));
      auto late = right.check_claims(*payload, kBefore + 3'600'000);
      ASSERT_FALSE(late);
      EXPECT_EQ(late.error().sentence, "the token has expired");
    }
    // Any one character changed breaks it, wherever it is.
    for (size_t at = 0; at < c.token.size(); at += 7) {
      std::string forged = c.token;
      forged[at] = forged[at] == 'A' ? 'B' : 'A';
      EXPECT_FALSE(right.open(forged)) << word_of(c.algorithm) << " at " << at;
    }
    // So does any end cut off.
    for (size_t size = 0; size < c.token.size(); size += 5)
      EXPECT_FALSE(right.open(c.token.substr(0, size))) << size;
  }
}

TEST(Jwt, TheAlgorithmIsNeverTheTokens) {
  // alg none, in all spellings, with and without a signature.
  JwtVerifier hs = verifier({JwtAlgorithm::hs256}, kOct);
  for (std::string_view alg : {"none", "None", "NONE", "nOnE", "", "HS384", "hs256"}) {
    std::string header = encode_base64url("{\"alg\":\"" + std::string(alg) + "\"}");
    expect_refused(hs, header + "." + std::string(kPayload) + ".", "do not count here");
    expect_refused(hs, header + "." + std::string(kPayload) + ".dBjftJeZ4CVP-mB92K27uhbUJU1p1r_wW1gFWFOEjXk",
                   "do not count here");
  }
  // HS/RS confusion: signed by HS256 with the text of the public key as the secret.
  Pair rsa = make_pair(EVP_RSA_gen(2048));
  auto confused = jwt_secret(rsa.public_pem);
  ASSERT_TRUE(confused);
  std::string forged = *sign_jwt(*confused, R"({"sub":"admin"})");
  expect_refused(verifier({JwtAlgorithm::rs256}, rsa.public_pem), forged, "do not count here");
  // Even where both algorithms are allowed, an RSA key is no secret.
  expect_refused(verifier({JwtAlgorithm::rs256, JwtAlgorithm::hs256}, rsa.public_pem), forged,
                 "key is not known");
  // A token that is right for a key, of an algorithm that is not allowed.
  expect_refused(verifier({JwtAlgorithm::es256}, kOct), kHsToken, "do not count here");
  std::string crit = encode_base64url(R"({"alg":"HS256","crit":["b64"],"b64":false})");
  expect_refused(hs, crit + ".x.y", "extensions");
}

TEST(Jwt, BrokenAndOversized) {
  JwtVerifier hs = verifier({JwtAlgorithm::hs256}, kOct);
  expect_refused(hs, "", "three parts");
  expect_refused(hs, "a.b", "three parts");
  expect_refused(hs, "a.b.c.d", "three parts");
  expect_refused(hs, "..", "header");
  expect_refused(hs, encode_base64url("[]") + ".e.e", "header");
  expect_refused(hs, encode_base64url("{}") + ".e.e", "alg");
  expect_refused(hs, encode_base64url(R"({"alg":7})") + ".e.e", "alg");
  expect_refused(hs, std::string(kTokenBytesMax + 1, 'a'), "longer than");
  expect_refused(hs, kHsToken + "=", "base64url");
  // Said twice: who signs and who reads may mean different ones.
  expect_refused(hs, encode_base64url(R"({"alg":"HS256","alg":"none"})") + ".e.e", "twice");
  auto twice = hs.check_claims(R"({"sub":"ann","exp":1,"\u0065xp":9999999999})", kBefore);
  ASSERT_FALSE(twice);
  EXPECT_EQ(twice.error().sentence, "the token's claims say something twice");
  EXPECT_FALSE(hs.check_claims("no json", kBefore));
  EXPECT_FALSE(hs.check_claims("[1]", kBefore));
}

TEST(Jwt, TimesIssuerAudience) {
  JwtRules rules;
  rules.algorithms = {JwtAlgorithm::hs256};
  rules.issuer = "https://id.example";
  rules.audience = "chat";
  rules.leeway_seconds = 5;
  JwtVerifier verifier(rules, keys(kOct));
  uint64_t now = 1'000'000'000;
  auto claims = [](std::string_view more) {
    return R"({"iss":"https://id.example","aud":"chat")" + std::string(more) + "}";
  };
  EXPECT_TRUE(verifier.check_claims(claims(""), now));
  EXPECT_TRUE(verifier.check_claims(claims(R"(,"exp":1000001,"nbf":999999,"iat":999999)"), now));
  EXPECT_TRUE(verifier.check_claims(claims(R"(,"exp":999996)"), now)) << "within the leeway";
  EXPECT_FALSE(verifier.check_claims(claims(R"(,"exp":999995)"), now));
  EXPECT_TRUE(verifier.check_claims(claims(R"(,"nbf":1000005)"), now));
  EXPECT_FALSE(verifier.check_claims(claims(R"(,"nbf":1000006)"), now));
  EXPECT_FALSE(verifier.check_claims(claims(R"(,"iat":1000006)"), now));
  for (std::string_view bad : {R"(,"exp":"soon")", R"(,"exp":-1)", R"(,"exp":1e300)", R"(,"nbf":null)"})
    EXPECT_FALSE(verifier.check_claims(claims(bad), now)) << bad;
  EXPECT_TRUE(verifier.check_claims(R"({"iss":"https://id.example","aud":["a","chat"]})", now));
  for (std::string_view bad :
       {R"({"aud":"chat"})", R"({"iss":"https://id.example"})",
        R"({"iss":"https://id.example/","aud":"chat"})", R"({"iss":"https://id.example","aud":"Chat"})",
        R"({"iss":"https://id.example","aud":["a"]})", R"({"iss":["https://id.example"],"aud":"chat"})",
        R"({"iss":"https://id.example","aud":{"chat":1}})"})
    EXPECT_FALSE(verifier.check_claims(bad, now)) << bad;
}

TEST(Jwt, KidsChooseAmongKeys) {
  Pair one = make_pair(EVP_EC_gen("P-256")), two = make_pair(EVP_EC_gen("P-256"));
  std::vector<JwtKey> both = keys(one.public_pem + two.public_pem);
  ASSERT_EQ(both.size(), 2u);
  both[0].id = "one";
  both[1].id = "two";
  JwtVerifier verifier({{JwtAlgorithm::es256}, "", "", 0}, both);
  auto token = [](Pair& pair, std::string kid) {
    pair.secret.id = std::move(kid);
    return *sign_jwt(pair.secret, R"({"sub":"ann"})");
  };
  EXPECT_TRUE(verifier.open(token(one, "one")));
  EXPECT_TRUE(verifier.open(token(two, "two")));
  EXPECT_TRUE(verifier.open(token(two, ""))) << "without a kid all are tried";
  expect_refused(verifier, token(one, "two"), "signature");
  expect_refused(verifier, token(one, "three"), "key is not known");
  both[1].id.clear();
  JwtVerifier with_nameless({{JwtAlgorithm::es256}, "", "", 0}, both);
  EXPECT_TRUE(with_nameless.open(token(two, "three"))) << "a key from PEM has no name to differ in";
}

TEST(Jwt, EveryKindOfKeySignsAndIsRead) {
  for (EVP_PKEY* key :
       {EVP_RSA_gen(2048), EVP_EC_gen("P-256"), EVP_PKEY_Q_keygen(nullptr, nullptr, "ED25519")}) {
    Pair pair = make_pair(key);
    JwtVerifier right = verifier({pair.secret.algorithm}, pair.public_pem);
    std::string token = *sign_jwt(pair.secret, R"({"sub":"ann"})");
    auto payload = right.open(token);
    ASSERT_TRUE(payload) << word_of(pair.secret.algorithm) << " " << payload.error().sentence;
    EXPECT_EQ(*payload, R"({"sub":"ann"})");
    auto as_public = read_jwt_keys(pair.private_pem, "key.pem");
    ASSERT_FALSE(as_public);
    EXPECT_NE(as_public.error().sentence.find("key.pem: this is a private key"), std::string::npos);
  }
}

TEST(Jwt, KeysThatCannotBeUsed) {
  EXPECT_FALSE(jwt_secret("short"));
  for (std::string_view bad :
       {"", "{}", "not json", R"({"keys":[]})", R"({"kty":"oct","k":"c2hvcnQ"})",
        R"({"kty":"EC","crv":"P-256","x":"AA","y":"AA"})", R"({"kty":"OKP","crv":"Ed25519","x":"AA"})",
        R"({"kty":"EC","crv":"P-384","x":"AA","y":"AA"})",
        "-----BEGIN PUBLIC KEY-----\nAAAA\n-----END PUBLIC KEY-----\n"})
    EXPECT_FALSE(read_jwt_keys(bad, "test")) << bad;
  // A point that is not on the curve.
  EXPECT_FALSE(read_jwt_keys(
      R"({"kty":"EC","crv":"P-256","x":"f83OJ3D2xF1Bg8vub9tLe1gHMzV76e8Tus9uPHvRVEU","y":"f83OJ3D2xF1Bg8vub9tLe1gHMzV76e8Tus9uPHvRVEU"})",
      "test"));
  std::unique_ptr<EVP_PKEY, void (*)(EVP_PKEY*)> small(EVP_RSA_gen(1536), EVP_PKEY_free);
  EXPECT_FALSE(read_jwt_keys(public_pem_of(small.get()), "test")) << "an RSA key below 2048 bits";
  std::string with_private = std::string(kEd.substr(0, kEd.size() - 1)) + R"(,"d":"nWGxne"})";
  auto as_public = read_jwt_keys(R"({"keys":[)" + with_private + "]}", "keys.json");
  ASSERT_FALSE(as_public);
  EXPECT_NE(as_public.error().sentence.find("keys.json: this is a private key"), std::string::npos);
  std::string encrypts = std::string(kEc.substr(0, kEc.size() - 1)) + R"(,"key_ops":["deriveKey"]})";
  EXPECT_FALSE(read_jwt_keys(encrypts, "test"));
  std::string verifies = std::string(kEc.substr(0, kEc.size() - 1)) + R"(,"key_ops":["sign","verify"]})";
  EXPECT_EQ(keys(verifies).size(), 1u);
  // What is for another use, or of another algorithm than its kind's, is left out.
  std::string set = R"({"keys":[{"kty":"RSA","use":"enc","n":"AA","e":"AQAB"},)"
                    R"({"kty":"EC","crv":"P-384","x":"AA","y":"AA"},)" +
                    std::string(kEc) + "]}";
  EXPECT_EQ(keys(set).size(), 1u);
}

}  // namespace
}  // namespace twinwire
