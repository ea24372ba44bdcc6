//! Steps: a kind and three numbers, which say what it is done to among what there is by then.
//!
//! So any steps can be left out of a sequence, and what remains still means something.

use crate::chance::Chance;

macro_rules! kinds {
    ($($kind:ident $weight:literal)+) => {
        #[derive(Clone, Copy, Debug, PartialEq, Eq)]
        pub enum Kind {
            $($kind,)+
        }

        /// How often each is drawn.
        const WEIGHTS: &[(Kind, usize)] = &[$((Kind::$kind, $weight),)+];
    };
}

kinds! {
    Consent 10 SignInAndConsent 6 Look 5 ApproveOutdated 5 StandingConsent 5
    Redeem 16 RedeemAny 4 Refresh 14 RefreshAny 6 ClientCredentials 4
    BeginSignIn 3 FinishSignIn 3 SignOut 2
    RevokeAccess 3 RevokeRefresh 2 SignDeviceOut 2
    RevokeGrants 3 RevokeAndBlock 1 Unblock 2 RevokeAllGrants 1 OperatorRevokesGrant 1
    LookAtNumbers 2 RevokeTokens 2 RotateSecret 2 DeleteClient 1
    Suspend 1 Ban 1 Reinstate 4
    DisableUser 1 EnableUser 4 RevokeUser 1 TakenOver 1 ChangePassword 1 DeleteUser 1 Register 4
    Wait 6 WaitBriefly 3 PurgeSlice 6 PurgeAll 2 Restart 1
}

#[derive(Clone, Copy, Debug)]
pub struct Step {
    pub kind: Kind,
    pub a: usize,
    pub b: usize,
    pub c: usize,
}

impl Step {
    pub fn draw(chance: &mut Chance) -> Self {
        let mut place = chance.below(WEIGHTS.iter().map(|(_, weight)| weight).sum());
        let kind = WEIGHTS.iter().find(|(_, weight)| {
            let here = place < *weight;
            place = place.saturating_sub(*weight);
            here
        });
        let [a, b, c] = [(); 3].map(|()| chance.below(1 << 16));
        Self { kind: kind.unwrap().0, a, b, c }
    }

    pub fn kinds() -> usize {
        WEIGHTS.len()
    }
}
