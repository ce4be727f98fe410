class FreeCrew: pass
