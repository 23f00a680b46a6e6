//! What both ends say about SSH agents, and the little of the agent's own protocol that is looked at: each message
//! is a length of four bytes, a type, and the rest (draft-ietf-sshm-ssh-agent, section 3).

/// The header that names the agent.
pub(crate) const ID: &str = "buildkit.ssh.id";

/// Bytes read at once.
pub(crate) const PIECE: usize = 32 << 10;

/// OpenSSH's agent takes none that is larger.
const LARGEST: usize = 256 << 10;

const REQUEST_IDENTITIES: u8 = 11;
const SIGN_REQUEST: u8 = 13;

/// What an agent answers to what it will not do.
pub(crate) const REFUSED: [u8; 5] = [0, 0, 0, 1, 5];

/// The first whole message of `bytes`, with its length, taken out; `None` until it is there.
pub(crate) fn take_message(bytes: &mut Vec<u8>) -> Result<Option<Vec<u8>>, TooLarge> {
    let Some(length) = bytes.first_chunk::<4>() else { return Ok(None) };
    let whole = (u32::from_be_bytes(*length) as usize).saturating_add(4);
    if whole > LARGEST {
        return Err(TooLarge);
    }
    if bytes.len() < whole {
        return Ok(None);
    }
    let rest = bytes.split_off(whole);
    Ok(Some(std::mem::replace(bytes, rest)))
}

#[derive(Debug, thiserror::Error)]
#[error("a message to or from the SSH agent is too large")]
pub(crate) struct TooLarge;

/// A build may list keys and sign with them. It may not add or remove keys, lock the agent, or reach its extensions.
pub(crate) fn is_allowed(message: &[u8]) -> bool {
    matches!(message.get(4), Some(&(REQUEST_IDENTITIES | SIGN_REQUEST)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn messages_are_taken_whole() {
        let mut bytes = vec![0, 0, 0, 1, 11, 0, 0];
        assert_eq!(take_message(&mut bytes).unwrap(), Some(vec![0, 0, 0, 1, 11]));
        assert_eq!(take_message(&mut bytes).unwrap(), None);
        bytes.extend([0, 2, 13]);
        assert_eq!(take_message(&mut bytes).unwrap(), None);
        bytes.push(9);
        let message = take_message(&mut bytes).unwrap().unwrap();
        assert!(is_allowed(&message) && bytes.is_empty());
        assert!(take_message(&mut vec![255; 4]).is_err());
        assert!(!is_allowed(&[0, 0, 0, 1, 17]) && !is_allowed(&[0, 0, 0, 0]));
    }
}
