//! Signing and checking: secp256k1, deterministic, low-s, compact (R4.8).

use core::fmt;

use alloy_primitives::{Address, B256, keccak256};
use k256::{
    AffinePoint, ProjectivePoint, Scalar, U256,
    ecdsa::{SigningKey, VerifyingKey},
    elliptic_curve::{
        ff::PrimeField,
        ops::{Invert, LinearCombination, Reduce},
        point::DecompressPoint,
    },
};
use serde::{Deserialize, Serialize};

/// A 64-byte compact signature: r, then s with the parity in its top bit (EIP-2098).
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub struct Signature(pub [u8; 64]);

impl Signature {
    /// Stands where there is none: it is nobody's, and refused wherever one is checked (R4.8).
    pub const NONE: Signature = Signature([0; 64]);
}

impl fmt::Debug for Signature {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", alloy_primitives::hex::encode(self.0))
    }
}

impl Serialize for Signature {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        alloy_primitives::FixedBytes(self.0).serialize(serializer)
    }
}

impl<'de> Deserialize<'de> for Signature {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        alloy_primitives::FixedBytes::deserialize(deserializer).map(|bytes| Signature(bytes.0))
    }
}

/// A signature that is refused.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum SignatureError {
    /// r or s out of range, or no point of the curve: nobody's signature.
    #[error("malformed signature")]
    Malformed,
    /// The second of two signatures for one thing; the contract takes only the low one.
    #[error("signature with a high s")]
    HighS,
    /// Somebody's signature, or of something else.
    #[error("signed by {signer}, not by {expected}")]
    WrongSigner {
        /// Whom the signature recovers to.
        signer: Address,
        /// Who should have signed.
        expected: Address,
    },
}

/// What signs. A signer must be deterministic (RFC 6979).
pub trait Signer: Send + Sync {
    /// Whose signatures these are.
    fn address(&self) -> Address;

    /// Signs a digest.
    ///
    /// # Errors
    /// The key is not to be had: a locked store, a device that was unplugged.
    fn sign(&self, digest: B256) -> Result<Signature, SignerError>;
}

/// A signer did not sign. Nothing was signed; trying again is safe.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the signer refused: {reason}")]
pub struct SignerError {
    /// In the signer's words.
    pub reason: alloc::string::String,
}

/// The system gave no randomness, so no key was made. Nothing is wrong with the program: look at the system.
#[cfg(feature = "client")]
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the system has no randomness to make a key of: {reason}")]
pub struct NoRandomness {
    /// In the system's words.
    pub reason: alloc::string::String,
}

/// A key in memory.
#[derive(Clone)]
pub struct Key {
    key: SigningKey,
    address: Address,
}

impl Key {
    /// The key of these 32 bytes.
    ///
    /// # Errors
    /// Zero, or not below the curve's order.
    pub fn from_bytes(bytes: &B256) -> Result<Key, SignatureError> {
        let key = SigningKey::from_bytes(&bytes.0.into()).map_err(|_| SignatureError::Malformed)?;
        let address = address_of(key.verifying_key());
        Ok(Key { key, address })
    }

    /// A new key, of the system's randomness. Keep [`Key::to_bytes`]: nothing else brings it back.
    ///
    /// # Errors
    /// The system has no randomness.
    #[cfg(feature = "client")]
    pub fn random() -> Result<Key, NoRandomness> {
        loop {
            let mut bytes = B256::ZERO;
            getrandom::fill(&mut bytes.0)
                .map_err(|error| NoRandomness { reason: alloc::string::ToString::to_string(&error) })?;
            // All but a few of 2^256 numbers are keys.
            if let Ok(key) = Key::from_bytes(&bytes) {
                return Ok(key);
            }
        }
    }

    /// The 32 bytes again, for a store.
    pub fn to_bytes(&self) -> B256 {
        B256::from_slice(&self.key.to_bytes())
    }
}

impl fmt::Debug for Key {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Key({})", self.address)
    }
}

impl Signer for Key {
    fn address(&self) -> Address {
        self.address
    }

    fn sign(&self, digest: B256) -> Result<Signature, SignerError> {
        let (signature, recovery) = self
            .key
            .sign_prehash_recoverable(digest.as_slice())
            .map_err(|error| SignerError { reason: alloc::format!("{error}") })?;
        let mut bytes: [u8; 64] = signature.to_bytes().into();
        if recovery.is_y_odd() {
            bytes[32] |= 0x80;
        }
        Ok(Signature(bytes))
    }
}

/// Who signed this digest: what the contract's `ecrecover` says.
///
/// Signatures are always checked by recovery, as the chain does it. Checking against a known public key is faster but
/// does not look at the parity bit: a header with the wrong one would count here and be worthless on the chain.
///
/// The library's own recovery checks the signature against the key that it has recovered, which takes as long again and cannot
/// fail: with `Q = r⁻¹(sR − zG)`, the sum that verification forms, `zs⁻¹G + rs⁻¹Q`, is `R` (SEC 1, 4.1.4 and 4.1.6).
///
/// # Errors
/// A malformed signature or one with a high s.
pub fn recover(digest: B256, signature: &Signature) -> Result<Address, SignatureError> {
    let mut bytes = signature.0;
    let odd = bytes[32] & 0x80 != 0;
    bytes[32] &= 0x7f;
    let signature = k256::ecdsa::Signature::from_slice(&bytes).map_err(|_| SignatureError::Malformed)?;
    if signature.normalize_s().is_some() {
        return Err(SignatureError::HighS);
    }
    let (r, s) = signature.split_scalars();
    let point = AffinePoint::decompress(&r.to_repr(), u8::from(odd).into());
    let point = ProjectivePoint::from(Option::<AffinePoint>::from(point).ok_or(SignatureError::Malformed)?);
    let z = <Scalar as Reduce<U256>>::reduce_bytes(&digest.0.into());
    let inverse = *r.invert();
    let key = ProjectivePoint::lincomb(&ProjectivePoint::GENERATOR, &-(inverse * z), &point, &(inverse * *s));
    VerifyingKey::from_affine(key.to_affine()).map(|key| address_of(&key)).map_err(|_| SignatureError::Malformed)
}

/// Checks that `signer` signed this digest.
///
/// # Errors
/// As [`recover`], or somebody else did.
pub fn verify(digest: B256, signature: &Signature, expected: Address) -> Result<(), SignatureError> {
    let signer = recover(digest, signature)?;
    if signer == expected { Ok(()) } else { Err(SignatureError::WrongSigner { signer, expected }) }
}

fn address_of(key: &VerifyingKey) -> Address {
    let point = key.to_encoded_point(false);
    Address::from_word(keccak256(&point.as_bytes()[1..]))
}

#[cfg(test)]
mod tests {
    use k256::ecdsa::RecoveryId;

    use super::*;

    /// As the library does it, with its check of the result.
    fn recovered(digest: B256, signature: &Signature) -> Option<Address> {
        let mut bytes = signature.0;
        let odd = bytes[32] & 0x80 != 0;
        bytes[32] &= 0x7f;
        let signature = k256::ecdsa::Signature::from_slice(&bytes).ok().filter(|it| it.normalize_s().is_none())?;
        let key = VerifyingKey::recover_from_prehash(digest.as_slice(), &signature, RecoveryId::new(odd, false));
        key.ok().map(|key| address_of(&key))
    }

    #[test]
    fn recovery_says_what_the_library_says_of_good_and_of_damaged_signatures() {
        let mut damaged = 0;
        for n in 0..200u64 {
            let key = Key::from_bytes(&keccak256(n.to_be_bytes())).expect("a key");
            let digest = keccak256([n.to_be_bytes(), [1; 8]].concat());
            let signature = key.sign(digest).expect("signs");
            assert_eq!(recover(digest, &signature), Ok(key.address()), "{n}");
            let mut other = signature;
            other.0[(n % 64) as usize] ^= 1 << (n % 8);
            for (digest, signature) in [(digest, signature), (digest, other), (keccak256(digest), signature)] {
                assert_eq!(recover(digest, &signature).ok(), recovered(digest, &signature), "{n}");
                damaged += u32::from(recover(digest, &signature).is_err());
            }
        }
        assert!(damaged > 0, "some of them are nobody's");
        for bytes in [[0; 64], [0xff; 64]] {
            assert_eq!(recover(B256::ZERO, &Signature(bytes)).ok(), recovered(B256::ZERO, &Signature(bytes)));
        }
    }
}
