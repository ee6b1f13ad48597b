//! An operator's file is taken or refused, and one that is taken answers every question.

#![no_main]

use std::path::Path;

use libfuzzer_sys::fuzz_target;
use mqtt_server::auth::{Acl, Identity, PasswordFile};

fuzz_target!(|input: (&[u8], Option<&str>, &str, &str)| {
    let (file, user_name, client_id, topic) = input;
    let path = Path::new("fuzzed");
    if let Ok(acl) = Acl::parse(path, file) {
        let identity = Identity {
            user_name,
            client_id,
        };
        let rights = acl.rights(&identity);
        assert_eq!(rights.may_read(topic), acl.may_read(&identity, topic));
        assert_eq!(rights.may_write(topic), acl.may_write(&identity, topic));
    }
    // Passwords are not verified: the cost that a file asks for is the operator's own choice.
    if let (Ok(passwords), Some(user)) = (PasswordFile::parse(path, file), user_name) {
        let _ = passwords.of(user);
    }
});
